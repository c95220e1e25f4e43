"""Where records come from: lines of ours, a knowledge graph of MCP's reference memory server, a folder of notes.

Each gives (what a reader calls the place, a record as `import_memory` takes it); what cannot be read is no record, and
is refused there by its place.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from api.passage import notes

Item = tuple[str, Any]


def records_of(place: Path) -> Iterator[Item]:
    """The records of a file or folder; which kind it is, its first line says."""
    if place.is_dir():
        return notes.records_of(place)
    return _of_lines(place)


def _of_lines(place: Path) -> Iterator[Item]:
    with place.open("rb") as file:
        for number, line in enumerate(file, 1):
            if not line.strip():
                continue
            try:
                found = json.loads(line.decode("utf-8-sig"))
                if b"\\u" in line:  # half of a surrogate pair is valid JSON, and no text
                    json.dumps(found, ensure_ascii=False).encode()
            except ValueError as error:
                found = f"not JSON: {error}"
            except RecursionError:
                found = "not JSON of ours: it is nested too deeply"
            yield f"line {number}", _as_ours(found)


def _as_ours(found: Any) -> Any:
    """A record; an entity of the reference server is a document under its name, a relation a link."""
    if not isinstance(found, dict) or "kind" in found:
        return found
    if found.get("type") == "entity":
        return _entity(found)
    if found.get("type") == "relation":
        return {
            "kind": "link",
            "source": found.get("from"),
            "relation": found.get("relationType"),
            "target": found.get("to"),
        }
    return found


def _entity(found: dict[str, Any]) -> dict[str, Any]:
    observations = found.get("observations")
    listed = observations if isinstance(observations, list) else []
    lines = [f"# {found.get('name')}", f"Kind: {found.get('entityType')}" if found.get("entityType") else ""]
    lines.append("\n".join(f"- {observation}" for observation in listed))
    return {
        "kind": "document",
        "file_name": found.get("name"),
        "content": "\n\n".join(line for line in lines if line) + "\n",
        "resource_type": "entity",
    }
