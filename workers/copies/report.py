"""What a backup or a restore did, for a reader or as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import click


def show_taken(done: dict[str, Any], as_json: bool) -> None:
    """Tell of a backup that was taken."""
    if as_json:
        click.echo(json.dumps(done))
        return
    click.echo(f"{done['file']}: {_size(done['bytes'])}, as of {done['taken_at']}")
    _show_counts(done["counts"])
    click.echo("  it holds the keys of this installation: keep it as you keep those")
    if done["needs"]:
        click.echo(f"  not in it, because they stand in the environment alone: {', '.join(done['needs'])}")


def show_verified(found: dict[str, Any], as_json: bool) -> None:
    """Tell of a backup that was looked through."""
    if as_json:
        click.echo(json.dumps(found))
        return
    click.echo(f"{found['file']} is whole: {_size(found['bytes'])}, as of {found['taken_at']}")
    _show_counts(found["counts"])


def show_restored(done: dict[str, Any], differing: Sequence[str], as_json: bool) -> None:
    """Tell of a backup that was put back."""
    if as_json:
        click.echo(json.dumps(done | {"differing_settings": list(differing)}))
        return
    click.echo(f"{done['home']} is as it was at {done['taken_at']}; start it with ./start_workers.sh")
    _show_counts(done["counts"])
    if done["aside"]:
        click.echo(f"  what was there before is in {done['aside']}")
    if differing:
        click.echo("  settings that differ from those of the backup:")
    for line in differing:
        click.echo(f"    {line}")


def _show_counts(counts: dict[str, Any]) -> None:
    records, state = counts.get("records", {}), counts.get("redis", {})
    shown = {name: records[name] for name in ("resources", "resource_chunks", "vectors") if name in records}
    graph = counts.get("graph", {"nodes": records.get("graph_nodes"), "edges": records.get("graph_edges")})
    words = {
        "documents": shown.get("resources"),
        "chunks": shown.get("resource_chunks"),
        "vectors": shown.get("vectors"),
        "graph nodes": graph["nodes"],
        "edges": graph["edges"],
        "jobs": state.get("jobs"),
        "waiting": sum((state.get("waiting") or {}).values()) if state else None,
    }
    click.echo("  " + ", ".join(f"{count:,} {name}" for name, count in words.items() if count is not None))


def _size(count: int) -> str:
    return f"{count / 1e6:,.1f} MB" if count >= 100_000 else f"{count / 1e3:,.1f} kB"
