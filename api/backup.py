"""`ltmc backup` and `ltmc restore`: one file that holds the whole installation."""

from __future__ import annotations

import click

from api import platform


@click.command()
@click.argument("place", type=click.Path(), default=".")
@click.option("--verify", is_flag=True, help="PLACE is a backup: look whether it is whole.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def backup(place: str, verify: bool, as_json: bool) -> None:
    """Copy everything into one file: memory, queue, keys; it may run meanwhile.

    PLACE is a file, or a folder [the current one] in which a file with the time in its name is made. It holds the state
    of one moment, when the command began: each call accepted before then is in it, done or waiting. The installation's
    keys are in it too, so only its owner may read it.
    """
    flags = [name for name, wanted in (("--verify", verify), ("--json", as_json)) if wanted]
    platform.become("backup", *flags, "--", place)


@click.command()
@click.argument("file", type=click.Path())
@click.option("--force", is_flag=True, help="Also into a home that is in use; what is there is moved aside.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def restore(file: str, force: bool, as_json: bool) -> None:
    """Put a backup into LTMC_HOME, while nothing runs there.

    The backup is checked first, and a damaged one changes nothing. The home may be another, on another machine.
    """
    flags = [name for name, wanted in (("--force", force), ("--json", as_json)) if wanted]
    platform.become("restore", *flags, "--", file)
