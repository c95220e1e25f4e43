"""A folder of Markdown notes as Basic Memory keeps them: front matter, observations, relations by wiki links.

A note becomes a document under its path in the folder; its observations stay in its text, where a search finds them.
Relations, and wiki links within the text, become links to the notes that they name, by title, permalink or file.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

FRONT = re.compile(r"\A\ufeff?---[ \t]*\r?\n(.*?)^---[ \t]*(?:\r?\n|\Z)", re.S | re.M)
FENCE = re.compile(r"^(```|~~~).*?^\1[ \t]*$", re.S | re.M)
RELATION = re.compile(r"^[ \t]*[-*+][ \t]+(?P<relation>[^\[\]\n]*?)[ \t]*\[\[(?P<target>[^\[\]\n]+)\]\]")
WIKI_LINK = re.compile(r"\[\[([^\[\]\n]+)\]\]")
PLAIN = "links_to"  # what a link says that stands in a sentence
RELATED = "relates_to"  # what one says that stands alone in a list
LONGEST_RELATION = 64  # a list item with more words before its link is a sentence


@dataclass(frozen=True, slots=True)
class Note:
    """A note's name, what its front matter says, and its text."""

    file_name: str
    front: dict[str, Any]
    text: str

    @property
    def names(self) -> Iterator[str]:
        """What a wiki link may call it, the surest first."""
        for field in ("permalink", "title"):
            if self.front.get(field):
                yield str(self.front[field])
        path = Path(self.file_name)
        yield from (self.file_name, str(path.with_suffix("")), path.stem)


def records_of(folder: Path) -> Iterator[tuple[str, Any]]:
    """The notes as documents, and then their links; what begins with a dot is left out."""
    known: dict[str, str] = {}
    links: list[tuple[str, str, str]] = []
    for path in sorted(folder.rglob("*.md")):
        name = path.relative_to(folder).as_posix()
        if any(part.startswith(".") for part in Path(name).parts):
            continue
        try:
            note = read(name, path.read_bytes())
        except (OSError, ValueError) as error:
            yield name, f"cannot be read: {error}"
            continue
        for called in note.names:
            known.setdefault(called.casefold(), name)
        links += [(name, relation, target) for relation, target in links_of(note)]
        yield name, _document(note)
    for name, relation, target in dict.fromkeys(links):
        to = known.get(target.casefold())
        kinds = {"source_kind": "document", "target_kind": "document" if to else "entity"}
        yield name, {"kind": "link", "source": name, "relation": relation, "target": to or target, **kinds}


def read(name: str, data: bytes) -> Note:
    """A note; ValueError where it is no UTF-8. Front matter that is no YAML stays part of the text."""
    text = data.decode("utf-8-sig")
    found = FRONT.match(text)
    if found is None:
        return Note(name, {}, text)
    try:
        front = yaml.safe_load(found[1])
    except yaml.YAMLError:
        return Note(name, {}, text)
    return Note(name, front if isinstance(front, dict) else {}, text[found.end() :])


def links_of(note: Note) -> Iterator[tuple[str, str]]:
    """(relation, what it names) of each wiki link outside code."""
    for line in FENCE.sub("", note.text).splitlines():
        rest = line
        related = RELATION.match(line)
        if related and len(related["relation"]) <= LONGEST_RELATION:
            yield related["relation"].strip(" :*_") or RELATED, _target(related["target"])
            rest = line[related.end() :]
        for target in WIKI_LINK.findall(rest):
            yield PLAIN, _target(target)


def _target(written: str) -> str:
    """What `[[Name#heading|as shown]]` names."""
    return written.partition("|")[0].partition("#")[0].strip() or written.strip()


def _document(note: Note) -> dict[str, Any]:
    title, tags = note.front.get("title"), note.front.get("tags")
    listed = [str(tag) for tag in tags] if isinstance(tags, list) else [str(tags)] if tags else []
    content = note.text.lstrip("\r\n")
    if title and not content.startswith("# "):
        content = f"# {title}\n\n{content}"
    if listed:
        content = f"{content.rstrip()}\n\nTags: {', '.join(listed)}\n"
    document = {
        "kind": "document",
        "file_name": note.file_name,
        "content": content,
        "resource_type": str(note.front.get("type") or "note")[:64],
    }
    stored = note.front.get("created") or note.front.get("date")
    if isinstance(stored, datetime.date):  # a time of day is one too
        document["created_at"] = stored.isoformat()
    return document
