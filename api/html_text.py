"""HTML to text in one pass, however the page is broken: nothing here looks twice at the same character."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator
from html import unescape

LINES = frozenset({"br", "li", "tr", "dt", "dd"})
BLOCKS = frozenset(
    {"address", "article", "blockquote", "div", "dl", "fieldset", "figcaption", "figure", "form", "hr", "main", "ol"}
    | {"h1", "h2", "h3", "h4", "h5", "h6", "p", "pre", "section", "table", "ul"}
)
NOT_TEXT = frozenset({"script", "style", "noscript", "template", "svg", "iframe", "nav", "footer", "head"})
RAW = frozenset({"script", "style", "iframe", "title"})  # what looks like a tag in them is none
VOID = frozenset(
    {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "param", "source", "track", "wbr"}
)
PREFIXES = {"li": "- ", **{f"h{level}": "#" * level + " " for level in range(1, 7)}}


def text_of(markup: str) -> str:
    """The title as a heading, then the main text with the line breaks that a browser would show."""
    page = Page()
    for kind, text in tokens(markup):
        {"text": page.text, "start": page.start, "end": page.end}[kind](text)
    # \x01 begins a preformatted line, which stays as it is.
    lines = (line.strip() if not line.startswith("\x01") else line for line in page.shown().split("\n"))
    text = re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).replace("\x01", "").strip("\n")
    title = " ".join("".join(page.title).split())
    return f"# {title}\n\n{text}" if title and not text.startswith(f"# {title}\n") else text


def tokens(markup: str) -> Iterator[tuple[str, str]]:
    """(`text`, words), (`start`, tag) and (`end`, tag), in order; a tag that never ends takes the rest with it."""
    place, missing = 0, set[str]()
    while place < len(markup):
        opened = re.compile(r"<(?:!--|[!?]|/?[a-zA-Z])").search(markup, place)
        if opened is None or opened.start() > place:
            yield "text", unescape(markup[place : opened.start() if opened else None])
        if opened is None:
            return
        place = opened.end()
        if opened[0] in ("<!--", "<!", "<?"):
            place = _after(markup, "-->" if opened[0] == "<!--" else ">", place)
            continue
        named = re.compile(r"[^\s/>]+").match(markup, place - 1)
        tag = named[0].lower() if named else ""
        place = _tag_end(markup, place, missing)
        yield "end" if opened[0].startswith("</") else "start", tag
        if tag == "svg" and markup[place - 2 : place] == "/>":  # elsewhere a browser overlooks the slash
            yield "end", tag
        if tag in RAW and not opened[0].startswith("</") and tag not in missing:
            end = re.compile(f"</{tag}", re.I).search(markup, place)
            if end is None:
                missing.add(tag)
            else:
                yield "text", unescape(markup[place : end.start()])
                place = end.start()


def _after(markup: str, mark: str, place: int) -> int:
    found = markup.find(mark, place)
    return len(markup) if found < 0 else found + len(mark)


def _tag_end(markup: str, place: int, missing: set[str]) -> int:
    """Behind the tag's `>`, which may stand in quotes too; `missing` remembers which quote comes no more."""
    start = place
    while found := re.compile(r">|=\s{0,9}([\"'])").search(markup, place):
        if found[0] == ">":
            return found.end()
        closing = -1 if found[1] in missing else markup.find(found[1], found.end())
        if closing < 0:
            missing.add(found[1])
            return _after(markup, ">", start)
        place = closing + 1
    return len(markup)


class Page:
    """What stands open, and the text so far; an end tag ends what stands open in its element, as in a browser."""

    def __init__(self) -> None:
        self.title: list[str] = []
        self._out: list[str] = []
        self._open: list[str] = []
        self._count: Counter[str] = Counter()  # of the open ones, so that no end tag looks for what is not there
        self._hidden = 0
        self._parts: dict[str, slice] = {}  # of _out: the first main, the first article

    def shown(self) -> str:
        """The text of the first main, else of the first article, else all."""
        part = self._parts.get("main", self._parts.get("article", slice(None)))
        return "".join(self._out[part])

    def start(self, tag: str) -> None:
        if tag == "body":  # its head may have been left open
            self.end("head")
        if tag == "li" and self._open and self._open[-1] == "li":
            self.end("li")
        if not self._hidden:
            if tag in ("main", "article") and tag not in self._parts:
                self._parts[tag] = slice(len(self._out), None)
            self._out.append(_gap(tag) + PREFIXES.get(tag, ""))
        if tag not in VOID:
            self._open.append(tag)
            self._count[tag] += 1
            self._hidden += tag in NOT_TEXT

    def text(self, text: str) -> None:
        if self._count["title"] and not self._count["svg"]:
            self.title.append(text)
        elif not self._hidden:
            self._out.append(text.replace("\n", "\n\x01") if self._count["pre"] else re.sub(r"\s+", " ", text))

    def end(self, tag: str) -> None:
        closing = bool(self._count[tag])
        while closing:
            last = self._open.pop()
            self._count[last] -= 1
            if not self._hidden:
                self._ended(last)
            self._hidden -= last in NOT_TEXT
            closing = last != tag

    def _ended(self, tag: str) -> None:
        self._out.append(" " if tag in ("td", "th") else _gap(tag))
        part = self._parts.get(tag)
        if part is not None and part.stop is None and not self._count[tag]:
            self._parts[tag] = slice(part.start, len(self._out))


def _gap(tag: str) -> str:
    return "\n" if tag in LINES else "\n\n" if tag in BLOCKS else ""
