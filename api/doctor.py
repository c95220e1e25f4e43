"""`ltmc doctor`: look at everything that can be wrong on this machine, and say the cure of each."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator

import click

from api import doctor_machine as machine
from api import doctor_platform as platform
from api import terminal
from api.doctor_tools import look_at_tools
from api.finding import Finding, Patient, fine, problem
from ltmc_jobs.errors import LtmcError
from ltmc_jobs.settings import Settings

# The first problem often explains the later ones.
LOOKS: tuple[Callable[[Patient], Iterator[Finding]], ...] = (
    machine.look_at_python,
    machine.look_at_home,
    machine.look_at_disk,
    machine.look_at_token,
    look_at_tools,
    machine.look_at_backends,
    machine.look_at_model,
    machine.look_at_torch,
    platform.look_at_redis,
    platform.look_at_fitness,
    machine.look_at_signing_key,
    platform.look_at_ports,
    platform.look_at_installation,
    platform.look_at_api,
    platform.look_at_workers,
    platform.look_at_dashboard,
    platform.look_at_refused_jobs,
)


@click.command("doctor")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def doctor(as_json: bool) -> None:
    """Look for everything that can be wrong, and say the cure. Exit code 1 when there is a problem."""
    findings = list(examine())
    if as_json:
        terminal.show_json([{"level": f.level, "what": f.what, "cure": f.cure} for f in findings])
    else:
        for finding in findings:
            _show(finding)
    problems = sum(finding.level == "problem" for finding in findings)
    if not as_json:
        click.echo(f"\n{problems} problem{'' if problems == 1 else 's'}" if problems else "\neverything is fine")
    sys.exit(1 if problems else 0)


def examine() -> Iterator[Finding]:
    """Every finding, in an order in which the first problem often explains the later ones."""
    try:
        patient = Patient(Settings.load())
    except LtmcError as error:
        yield problem(f"settings: {error}", "set that variable right, or unset it; `ltmc settings` shows them all")
        return
    yield fine("settings: every variable can be read")
    for look in LOOKS:
        try:
            yield from look(patient)
        except Exception as error:  # a doctor that faints helps nobody
            yield problem(
                f"{look.__name__.removeprefix('look_at_')}: the check itself failed: {type(error).__name__}: {error}",
                "please report this; the other checks are not touched by it",
            )
    if patient.redis is not None:
        patient.redis.close()


def _show(finding: Finding) -> None:
    mark = {"fine": "✓", "note": "·", "problem": "✗"}[finding.level]
    click.echo(f"{mark} {finding.what}" + (f"\n    {finding.cure}" if finding.cure else ""))
