"""Edits of JSON as text: what is not edited keeps every byte, its comments and its order."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ltmc_jobs.errors import Misconfigured

TOKEN = re.compile(
    r"""(?P<space>[ \t\r\n]+)|(?P<comment>//[^\n]*|/\*.*?\*/)|(?P<mark>[{}\[\],:])"""
    r"""|(?P<text>"(?:[^"\\\x00-\x1f]|\\.)*")|(?P<word>[-+.\w]+)""",
    re.DOTALL,
)
BYTE_ORDER_MARK = "\ufeff"

Step = str | int
Path = Sequence[Step]


@dataclass(slots=True)
class Node:
    """A value and where it stands; `begins` is where its member begins, with the name."""

    start: int
    end: int = 0
    begins: int = 0
    value: Any = None  # of what is neither object nor array
    names: list[str] | None = None  # of an object's members
    inner: list[Node] = field(default_factory=list)
    is_container: bool = False

    def plain(self) -> Any:
        """The value as Python has it."""
        if not self.is_container:
            return self.value
        values = [node.plain() for node in self.inner]
        return values if self.names is None else dict(zip(self.names, values, strict=True))

    def step(self, step: Step) -> Node | None:
        """The inner node of this name or place."""
        if isinstance(step, int):
            return self.inner[step] if self.names is None and step < len(self.inner) else None
        if self.names is None or step not in self.names:
            return None
        return self.inner[len(self.names) - 1 - self.names[::-1].index(step)]  # of two, readers take the last


def parse(text: str, *, with_comments: bool) -> Node:
    """The tree of a text; Misconfigured says the line where it is no JSON."""
    tokens = list(_tokens(text, with_comments))
    if not tokens:
        raise Misconfigured("it is empty, which is no JSON")
    reader = _Reader(text, tokens, with_comments)
    root = reader.read()
    if reader.at < len(tokens):
        raise reader.fault("more follows after the end")
    return root


def value_at(text: str, path: Path, *, with_comments: bool) -> Any:
    """What stands at a path; None where nothing does."""
    node: Node | None = parse(text, with_comments=with_comments)
    for step in path:
        node = node.step(step) if node is not None and node.is_container else None
    return None if node is None else node.plain()


def with_value(text: str, path: Path, value: Any, *, with_comments: bool) -> str:
    """The text with a value at a path of names, and the objects above it; at the end of its object where it is new."""
    node = parse(text, with_comments=with_comments)
    for depth, name in enumerate(path):
        inner = node.step(name)
        if inner is None:
            if node.names is None:
                raise Misconfigured(f"{'.'.join(map(str, path[:depth])) or 'its content'} is no object")
            for missing in reversed(path[depth + 1 :]):
                value = {missing: value}
            return _inserted(text, node, f"{json.dumps(name)}: ", value)
        node = inner
    return text[: node.start] + _written(text, value, _indent_at(text, node.begins)) + text[node.end :]


def appended(text: str, path: Path, value: Any, *, with_comments: bool) -> str:
    """The text with a value at the end of the array at a path, which is made where there is none."""
    node: Node | None = parse(text, with_comments=with_comments)
    for step in path:
        node = node.step(step) if node is not None else None
    if node is None:
        return with_value(text, path, [value], with_comments=with_comments)
    if not node.is_container or node.names is not None:
        raise Misconfigured(f"{'.'.join(map(str, path))} is no array")
    return _inserted(text, node, "", value)


def without(text: str, path: Path, *, with_comments: bool) -> str:
    """The text without what stands at a path, its comma and its line."""
    above = parse(text, with_comments=with_comments)
    for step in path[:-1]:
        found = above.step(step)
        if found is None:
            return text
        above = found
    node = above.step(path[-1])
    if node is None:
        return text
    place = above.inner.index(node)
    space = len(text[: node.begins]) - len(text[: node.begins].rstrip(" \t\r\n"))
    comma = _comma_after(text, node.end, above.end)
    if comma is not None:
        return text[: node.begins - space] + text[comma + 1 :]
    if place == 0:
        rest = text[node.end : above.end - 1]
        return text[: node.begins - space] + (rest.rstrip() if not rest.strip() else rest) + text[above.end - 1 :]
    before = _comma_after(text, above.inner[place - 1].end, node.begins)
    assert before is not None
    return text[:before] + text[before + 1 : node.begins - space] + text[node.end :]


class _Reader:
    """Reads tokens into nodes."""

    def __init__(self, text: str, tokens: list[re.Match[str]], with_comments: bool) -> None:
        self.at = 0
        self._text = text
        self._tokens = tokens
        self._lenient = with_comments

    def fault(self, words: str) -> Misconfigured:
        at = self._tokens[self.at].start() if self.at < len(self._tokens) else len(self._text)
        return Misconfigured(f"line {self._text.count(chr(10), 0, at) + 1}: {words}")

    def read(self, begins: int | None = None) -> Node:
        token = self._next("a value is missing")
        node = Node(token.start(), token.end(), token.start() if begins is None else begins)
        if token[0] in ("{", "["):
            self._read_inner(node, token[0])
        elif token["text"] is not None or token["word"] is not None:
            try:
                node.value = json.loads(token[0])
            except ValueError:
                self.at -= 1
                raise self.fault(f"{token[0][:40]} is no JSON") from None
        else:
            self.at -= 1
            raise self.fault(f"{token[0]} is out of place")
        return node

    def _read_inner(self, node: Node, opening: str) -> None:
        closing = {"{": "}", "[": "]"}[opening]
        node.is_container = True
        node.names = [] if opening == "{" else None
        while True:
            token = self._next(f"{closing} is missing")
            if token[0] == closing and (not node.inner or self._lenient):
                break
            if node.names is None:
                self.at -= 1
                node.inner.append(self.read())
            else:
                if token["text"] is None:
                    self.at -= 1
                    raise self.fault("a name in quotes is missing")
                node.names.append(json.loads(token[0]))
                if self._next(": is missing")[0] != ":":
                    self.at -= 1
                    raise self.fault(": is missing")
                node.inner.append(self.read(token.start()))
            token = self._next(f"{closing} is missing")
            if token[0] == closing:
                break
            if token[0] != ",":
                self.at -= 1
                raise self.fault("a comma is missing")
        node.end = token.end()

    def _next(self, missing: str) -> re.Match[str]:
        if self.at >= len(self._tokens):
            raise self.fault(missing)
        self.at += 1
        return self._tokens[self.at - 1]


def _tokens(text: str, with_comments: bool) -> Iterator[re.Match[str]]:
    """Every token but spaces and comments."""
    at = len(BYTE_ORDER_MARK) if text.startswith(BYTE_ORDER_MARK) else 0
    while at < len(text):
        token = TOKEN.match(text, at)
        if token is None or (token["comment"] is not None and not with_comments):
            raise Misconfigured(f"line {text.count(chr(10), 0, at) + 1}: {text[at : at + 20].split()[0]} is no JSON")
        if token["space"] is None and token["comment"] is None:
            yield token
        at = token.end()


def _comma_after(text: str, start: int, end: int) -> int | None:
    """Where the comma after a value stands, comments passed over."""
    at = start
    while at < end and (token := TOKEN.match(text, at)) is not None:
        if token["space"] is None and token["comment"] is None:
            return at if token[0] == "," else None
        at = token.end()
    return None


def _inserted(text: str, above: Node, name: str, value: Any) -> str:
    """With an entry at the end of an object or array, laid out as those that are there."""
    newline = "\r\n" if "\r\n" in text else "\n"
    outer = _indent_at(text, above.begins)
    if not above.inner:
        indent = outer + _unit(text)
        entry = f"{newline}{indent}{name}{_written(text, value, indent)}"
        inside = text[above.start + 1 : above.end - 1]
        closing = f"{newline}{outer}" if not inside.strip() else inside
        return text[: above.start + 1] + entry + closing + text[above.end - 1 :]
    last = above.inner[-1]
    lines = "\n" in text[above.start : above.inner[0].begins]
    indent = _indent_at(text, above.inner[0].begins) if lines else outer
    entry = f"{newline}{indent}{name}{_written(text, value, indent)}" if lines else f" {name}{json.dumps(value)}"
    comma = _comma_after(text, last.end, above.end)
    at = last.end if comma is None else comma + 1
    rest = re.match(r"[ \t]*(?://[^\n]*|/\*[^\n]*?\*/[ \t]*(?=\r?\n))", text[at:]) if lines else None
    after = at + (len(rest[0].rstrip("\r")) if rest else 0)
    if comma is None:
        return text[:at] + "," + text[at:after] + entry + text[after:]
    return text[:after] + entry + "," + text[after:]


def _written(text: str, value: Any, indent: str) -> str:
    newline = "\r\n" if "\r\n" in text else "\n"
    return json.dumps(value, indent=_unit(text), ensure_ascii=False).replace("\n", f"{newline}{indent}")


def _indent_at(text: str, at: int) -> str:
    """The white space that the line of a place begins with."""
    line = text[text.rfind("\n", 0, at) + 1 : at].removeprefix(BYTE_ORDER_MARK)
    return line[: len(line) - len(line.lstrip(" \t"))]


def _unit(text: str) -> str:
    """One step of indentation, as the text has it."""
    found = re.search(r"\n([ \t]+)[\"{\[]", text)
    return found[1] if found else "  "
