"""HTML to text, broken into lines as a browser would show it; the parser is selectolax's."""

from __future__ import annotations

import re
from collections.abc import Iterator

from selectolax.lexbor import LexborHTMLParser, LexborNode

LINES = frozenset({"br", "li", "tr", "dt", "dd"})
BLOCKS = frozenset(
    {"address", "article", "blockquote", "div", "dl", "fieldset", "figcaption", "figure", "form", "hr", "main", "ol"}
    | {"h1", "h2", "h3", "h4", "h5", "h6", "p", "pre", "section", "table", "ul"}
)
NOT_TEXT = "script, style, noscript, template, svg, iframe, nav, footer, head"
PREFIXES = {"li": "- ", **{f"h{level}": "#" * level + " " for level in range(1, 7)}}
# Elements that only their end tag closes: what piles up when a page is nested without end.
NESTING = re.compile(
    r"<(/?)(?:div|span|section|article|main|blockquote|font|b|i|em|strong|a|u|s|table|ul|ol|dl)\b", re.IGNORECASE
)
DEPTH_LIMIT = 2000


class TooDeep(Exception):
    """The page is nested without end, which the parser would follow for minutes."""


def text_of(markup: str) -> str:
    """The title as a heading, then the text of the first main, else of the first article, else of all."""
    if _depth(markup) > DEPTH_LIMIT:
        raise TooDeep(f"the page is nested more than {DEPTH_LIMIT} levels deep")
    page = LexborHTMLParser(markup)
    titled = page.css_first("head > title, title")
    title = " ".join(titled.text().split()) if titled else ""
    for left_out in page.css(NOT_TEXT):
        left_out.decompose()
    root = page.css_first("main") or page.css_first("article") or page.body
    shown = "".join(_pieces(root)) if root else ""
    # \x01 begins a preformatted line, which stays as it is.
    lines = (line.strip() if not line.startswith("\x01") else line for line in shown.split("\n"))
    text = re.sub(r"\n{3,}", "\n\n", "\n".join(lines)).replace("\x01", "").strip("\n")
    return f"# {title}\n\n{text}" if title and not text.startswith(f"# {title}\n") else text


def _depth(markup: str) -> int:
    """How many elements stand open at most, if no end tag is missing by mistake."""
    depth = deepest = 0
    for found in NESTING.finditer(markup):
        depth = max(0, depth - 1) if found[1] else depth + 1
        deepest = max(deepest, depth)
    return deepest


def _pieces(root: LexborNode) -> Iterator[str]:
    """The texts below a node with the gaps between them, in order; by hand, for Python's stack is shallow."""
    node, preformatted = root, 0
    while True:
        if node.tag == "-text":
            text = node.text_content or ""
            yield text.replace("\n", "\n\x01") if preformatted else re.sub(r"\s+", " ", text)
        else:
            yield _gap(node.tag) + PREFIXES.get(node.tag or "", "")
            preformatted += node.tag == "pre"
        below = node.child
        if below is not None:
            node = below
            continue
        while True:
            if node.tag not in ("-text", "br", "hr"):
                preformatted -= node.tag == "pre"
                yield " " if node.tag in ("td", "th") else _gap(node.tag)
            beside, above = node.next, node.parent
            if node.mem_id == root.mem_id or above is None:
                return
            if beside is not None:
                node = beside
                break
            node = above


def _gap(tag: str | None) -> str:
    return "\n" if tag in LINES else "\n\n" if tag in BLOCKS else ""
