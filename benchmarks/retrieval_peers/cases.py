"""What is stored and what is asked: dialogues, code and long documents of others, read where they stand."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

DIALOGUES, CODES, CORPORA = "dialog_qmsum.json", "code_mbpp.jsonl", "chunking"


@dataclass(frozen=True, slots=True)
class Span:
    """A stretch of a stored text, in characters."""

    name: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Text:
    """What is stored under one name."""

    name: str
    content: str
    resource_type: str


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, and where its answer stands."""

    text: str
    gold: tuple[Span, ...]


@dataclass(frozen=True, slots=True)
class Room:
    """What is searched at once: a conversation, a collection."""

    name: str
    texts: tuple[Text, ...]
    questions: tuple[Question, ...]
    is_conversation: bool = False


@dataclass(frozen=True, slots=True)
class Case:
    """Rooms of one kind. An answer is a whole text, or, `by_span`, counts by the characters that it covers."""

    name: str
    rooms: tuple[Room, ...]
    by_span: bool = False


def read(data: Path, *, quick: bool) -> list[Case]:
    """The cases of a folder; none where it has none of the files."""
    found = []
    if (data / DIALOGUES).exists():
        found.append(_dialogues(json.loads((data / DIALOGUES).read_text())["conversations"][: 1 if quick else None]))
    if (data / CODES).exists():
        found.append(_codes(_lines(data / CODES)[: 150 if quick else None]))
    if (data / CORPORA / "questions.jsonl").exists():
        corpora = sorted((data / CORPORA).glob("*.md"))[: 1 if quick else None]
        found.append(_corpora(corpora, _lines(data / CORPORA / "questions.jsonl")))
    return found


def _lines(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def _dialogues(conversations: Iterable[dict[str, Any]]) -> Case:
    """One text a turn, with who said it before it."""
    rooms = []
    for talk in conversations:
        texts = {
            turn["id"]: Text(f"{talk['id']}/{turn['id']}", f"{turn['speaker']}: {turn['text']}", "dialogue")
            for turn in talk["turns"]
        }
        questions = tuple(
            Question(asked["question"], tuple(_whole(texts[turn]) for turn in asked["evidence"]))
            for asked in talk["questions"]
        )
        rooms.append(Room(str(talk["id"]), tuple(texts.values()), questions, is_conversation=True))
    return Case("dialogue", tuple(rooms))


def _codes(found: Iterable[dict[str, Any]]) -> Case:
    """One text a function; asked is its purpose in plain English, which is not stored."""
    pairs = [(Text(f"{one['id']}.py", one["code"], "code"), one["query"]) for one in found]
    questions = tuple(Question(query, (_whole(text),)) for text, query in pairs)
    return Case("code", (Room("code", tuple(text for text, _ in pairs), questions),))


def _corpora(files: Iterable[Path], asked: list[dict[str, Any]]) -> Case:
    """One long document a room."""
    rooms = []
    for file in files:
        questions = tuple(
            Question(one["question"], tuple(Span(file.name, start, end) for start, end in one["spans"]))
            for one in asked
            if one["corpus"] == file.stem
        )
        rooms.append(Room(file.stem, (Text(file.name, file.read_text(), "document"),), questions))
    return Case("documents", tuple(rooms), by_span=True)


def _whole(text: Text) -> Span:
    return Span(text.name, 0, len(text.content))
