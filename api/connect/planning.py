"""What connecting, or undoing it, changes in a client's files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from api.connect import json_text
from api.connect.change import Change, read
from api.connect.clients import Target, is_ours
from api.connect.ledger import Ledger
from ltmc_jobs.errors import Misconfigured


@dataclass(frozen=True, slots=True)
class Plan:
    """A change, what its file has without us, and which members are our making."""

    change: Change
    original: bytes | None
    members: list[list[str]]


def connection(target: Target, ledger: Ledger) -> Plan:
    """What connects; Misconfigured says what is wrong with the file."""
    before = read(target.file)
    if target.text is not None:
        own = target.text.encode()
        if before is not None and before != own and not ledger.original(target.file, before)[0]:
            if ledger.entry(target.file) is None:
                raise Misconfigured(f"{target.file} is there already, and not ours; move it away")
            own = before  # the user has other words for it now
        return Plan(Change(target.file, before, own), None, [])
    try:
        text = _text(before)
        as_left, original = ledger.original(target.file, before)
        if not as_left:
            entry = ledger.entry(target.file)
            original = _without(target, text, entry.members if entry else []).encode()
            if before is None or (entry is not None and not entry.existed and original.split() == [b"{}"]):
                original = None
            elif not before.strip():
                original = before
        clean = _text(original)
        above = [list(member.path[: at + 1]) for member in target.members for at in range(len(member.path))]
        made = [path for path in above if json_text.value_at(clean, path, with_comments=target.with_comments) is None]
        return Plan(Change(target.file, before, _with(target, text).encode()), original, made)
    except Misconfigured as error:
        raise Misconfigured(f"{target.file}: {error}; nothing was changed") from None


def removal(target: Target, ledger: Ledger) -> Change:
    """What undoes: to the very bytes of before where nobody has changed the file since."""
    before = read(target.file)
    as_left, original = ledger.original(target.file, before)
    if as_left or before is None:
        return Change(target.file, before, original)
    if target.text is not None:  # changed by somebody, or never ours
        return Change(target.file, before, None if before == target.text.encode() else before)
    entry = ledger.entry(target.file)
    try:
        text = _without(target, _text(before), entry.members if entry else [])
    except Misconfigured as error:
        raise Misconfigured(f"{target.file}: {error}; nothing was changed") from None
    was_ours = entry is not None and not entry.existed and text.split() == ["{}"]
    return Change(target.file, before, None if was_ours else text.encode() if text != _text(before) else before)


def _with(target: Target, text: str) -> str:
    lenient = target.with_comments
    for member in target.members:
        if not member.in_array:
            there = json_text.value_at(text, member.path, with_comments=lenient)
            # What is no object of ours (a version) is only filled in.
            if there != member.value if isinstance(member.value, dict) else there is None:
                text = json_text.with_value(text, member.path, member.value, with_comments=lenient)
            continue
        there = json_text.value_at(text, member.path, with_comments=lenient)
        ours = [at for at, value in enumerate(there) if is_ours(value)] if isinstance(there, list) else []
        if not ours:
            text = json_text.appended(text, member.path, member.value, with_comments=lenient)
        elif there[ours[0]] != member.value:
            text = json_text.with_value(text, [*member.path, ours[0]], member.value, with_comments=lenient)
    return text


def _without(target: Target, text: str, made: Sequence[Sequence[str]]) -> str:
    """The text without our members, and without what we made for them where it is empty now."""
    lenient = target.with_comments
    for member in target.members:
        there = json_text.value_at(text, member.path, with_comments=lenient)
        if member.in_array:
            for at in reversed(range(len(there) if isinstance(there, list) else 0)):
                if is_ours(there[at]):
                    text = json_text.without(text, [*member.path, at], with_comments=lenient)
        elif isinstance(member.value, dict):
            text = json_text.without(text, member.path, with_comments=lenient)
    scalars = [list(member.path) for member in target.members if not isinstance(member.value, dict)]
    for path in sorted(made, key=len, reverse=True):
        there = json_text.value_at(text, path, with_comments=lenient)
        if there in ({}, []) or list(path) in scalars:
            text = json_text.without(text, path, with_comments=lenient)
    return text


def _text(content: bytes | None) -> str:
    try:
        text = (content or b"").decode()
    except UnicodeDecodeError:
        raise Misconfigured("it is not UTF-8") from None
    return text if text.strip() else "{}\n"
