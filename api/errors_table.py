"""The table of every error, made from the exception tree: docs/errors.md is its output."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import click

from api import security
from ltmc_jobs.errors import LtmcError

assert security  # it declares what HTTP alone can fail with
OURS = ("ltmc_jobs.", "api.")  # a user's tools may have more of their own

INTRODUCTION = """\
# Errors

What a call, or the job behind it, may fail with. REST answers with the status and `{"success": false, "error": {…}}`;
JSON-RPC with its code and, in `data`, the rest; MCP with a result whose `isError` is true and whose `structuredContent`
holds `error`. Each has `code`, `message`, `retry`, at times `details`, and the `id` under which the logs have it.

`retry`: the same call may succeed later. A job that fails so runs again by itself, as often as its kind allows, after
a pause that doubles. A class stands under the one that it is a kind of: who catches that one catches it too.

- What is no JSON at all is `-32700` in JSON-RPC, as its specification has it, and `malformed_request` everywhere.
- A method that a path does not have is `invalid_call` with HTTP's own status for it, 405.
- What is refused before anybody reads which protocol it is, as by `forbidden` or `too_large`, is answered as by REST.
- What nobody foresaw is an `error` in the front end and `job_failed` in a job; its own words stay in the logs.
- `misconfigured` says its reason to the machine's owner; of a worker's, callers hear only that there is one.

This page is made by `ltmc errors --markdown > docs/errors.md`.
"""


@dataclass(frozen=True, slots=True)
class Row:
    """One class, as people read it; `depth` is how many classes stand above it."""

    depth: int
    error: type[LtmcError]

    def cells(self) -> tuple[str, ...]:
        """Its class, code, HTTP status, JSON-RPC code, whether to retry, meaning."""
        meaning = (self.error.__doc__ or "").strip().splitlines()[0]
        retry = "yes" if self.error.retry else "no"
        return (self.error.__name__, self.error.code, str(self.error.status), str(self.error.jsonrpc), retry, meaning)


def rows(error: type[LtmcError] = LtmcError, depth: int = 0) -> Iterator[Row]:
    """Every class of the platform's own, each before its kinds."""
    yield Row(depth, error)
    for kind in error.__subclasses__():
        if kind.__module__.startswith(OURS):
            yield from rows(kind, depth + 1)


def table() -> str:
    """The whole page, in Markdown."""
    lines = ["| class | code | HTTP | JSON-RPC | retry | meaning |", "| --- | --- | --- | --- | --- | --- |"]
    for row in rows():
        name, code, *rest = row.cells()
        indent = "&nbsp;" * (3 * row.depth)
        lines.append("| " + " | ".join([f"{indent}{name}", f"`{code}`", *rest]) + " |")
    return INTRODUCTION + "\n" + "\n".join(lines) + "\n"


@click.command()
@click.option("--markdown", is_flag=True, help="Print docs/errors.md.")
def errors(markdown: bool) -> None:
    """List every error: its code, HTTP status, JSON-RPC code, whether to try again."""
    if markdown:
        click.echo(table(), nl=False)
        return
    for row in rows():
        name, code, status, number, retry, meaning = row.cells()
        shown = f"{'  ' * row.depth}{name}"
        click.echo(
            f"{shown:<22} {code:<18} HTTP {status}  {number:<7} {'retry' if retry == 'yes' else '':<6} {meaning}"
        )
