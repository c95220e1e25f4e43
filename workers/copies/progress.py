"""How far a long command is, on standard error: a bar where somebody looks, a line a part elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import click


@contextmanager
def shown(label: str, *, if_many: bool = True) -> Iterator[Callable[[int, int], None]]:
    """`tick(done, of how much)` moves the bar; what is not many bytes shows nothing."""
    if not sys.stderr.isatty() or not if_many:
        if if_many:
            click.echo(f"{label} …", err=True)
        yield lambda _done, _total: None
        return
    with click.progressbar(length=1000, label=f"{label:<28}", file=sys.stderr, show_pos=False) as bar:

        def tick(done: int, total: int) -> None:
            bar.update(max(0, done * 1000 // max(total, 1) - bar.pos))

        yield tick
        bar.update(1000 - bar.pos)
