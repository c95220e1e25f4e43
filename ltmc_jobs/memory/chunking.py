"""Text to chunks that the embedding model reads whole: no character lost, no chunk over the model's limit.

Structure first: a heading stays with its text, fenced code and top-level functions stay whole when they fit.
Then whole sentences are packed to the limit; a chunk begins with the last sentence of the one before. In a dialogue
each turn is cut by itself.
"""

from __future__ import annotations

import re
import sys
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from ltmc_jobs.llm import minilm
from ltmc_jobs.stores.contracts import ChunkText

CAP_TOKENS = minilm.LIMIT_TOKENS - 2  # the model puts a mark before and behind
LIMIT_TOKENS = 200
LONGEST = 4096  # characters of a chunk: a text of few tokens (one endless word) has to end somewhere too
WINDOW = 32_768  # characters tokenized at a time

# Behind each of them the tokenizer starts a word, whatever comes next: white space, a full stop, an ideograph.
SAFE_CUT = re.compile(r"[ \n.\u4e00-\u9fff]")
SENTENCE_END = re.compile(
    r"(?<![.!?…])[.!?…]++[\"'’”»)\]]*+[ \t\r\n]++(?=[^a-z])"  # before a small letter it was an abbreviation
    r"|(?<![。！？])[。！？]++[」』”’）]*+\s*+"
)
LINE = re.compile(r"[^\n]*\n|[^\n]+")
FENCE = re.compile(r" {0,3}(`{3,}+|~{3,}+)")
HEADING = re.compile(r" {0,3}#{1,6}[ \t]")
ITEM = re.compile(r"[ \t]*(?:[-*+•|]|\d{1,3}[.)])[ \t]")
# [10:02] Ada: … or **Ada:** …
TURN = re.compile(r"[ \t]*(?:[\[(][^\[\]()\n]{1,40}[\])][ \t]*)?[*_]{0,2}[^\W\d_][^:\n]{0,40}:[*_]{0,2}(?:\s|$)")
CONTINUES = re.compile(r"[ \t)\]}]|(?:else|elif|except|finally|end)\b")  # lines at the margin that end a block

Offsets = npt.NDArray[np.int64]


class _Unit(NamedTuple):
    """A stretch that packing keeps whole."""

    start: int
    end: int
    tokens: int
    kind: str  # heading | sentence | code


def split(text: str, *, kind: str = "document", limit_tokens: int = LIMIT_TOKENS) -> list[ChunkText]:
    """Cut a text into chunks of at most `limit_tokens` (1 to 254), in order, which together cover every character.

    Only an empty text has no chunks, and one of white space alone has one. A word is cut only above 4,096 characters,
    so below a limit of 100 a chunk may hold one longer word. Time is linear: 1 MB takes 1 to 3 s.
    """
    if not 1 <= limit_tokens <= CAP_TOKENS:
        raise ValueError(f"limit_tokens is 1 to {CAP_TOKENS}, not {limit_tokens}")
    if not text or text.isspace():
        return [ChunkText(text, 0, len(text))] if text else []
    words = _Words(text)
    tiled = [list(_units(text, block, words, limit_tokens)) for block in _blocks(text, kind)]
    # What two people said is never one passage, however short.
    parts = tiled if kind == "dialogue" else [[unit for units in tiled for unit in units]]
    return [
        ChunkText(text[units[first].start : units[last].end], units[first].start, units[last].end)
        for units in parts
        for first, last in _pack(units, limit_tokens)
    ]


class _Words:
    """Where the tokenizer sees words, and how many tokens each has; lists, because bisecting them is what is done."""

    def __init__(self, text: str) -> None:
        parts = [_words_of(text[start:end], start) for start, end in _windows(text)]
        self.starts: list[int] = np.concatenate([part[0] for part in parts]).tolist()
        self.ends: list[int] = np.concatenate([part[1] for part in parts]).tolist()
        self.totals: list[int] = [0, *np.cumsum(np.concatenate([part[2] for part in parts])).tolist()]

    def tokens(self, start: int, end: int) -> int:
        """Tokens of the words that begin in [start, end)."""
        return self.totals[bisect_left(self.starts, end)] - self.totals[bisect_left(self.starts, start)]

    def divides(self, place: int) -> bool:
        """Whether a cut here leaves every word whole, so that both sides count as before."""
        before = bisect_left(self.starts, place) - 1
        return before < 0 or self.ends[before] <= place

    def farthest(self, start: int, limit: int) -> int:
        """The last place where a word starts to which [start, …) has at most `limit` tokens; one word at least."""
        first = bisect_left(self.starts, start)
        beyond = max(bisect_right(self.totals, self.totals[first] + limit) - 1, first + 1)
        return self.starts[beyond] if beyond < len(self.starts) else sys.maxsize

    def next_start(self, place: int) -> int:
        """Where the next word starts, at `place` or behind it."""
        following = bisect_left(self.starts, place)
        return self.starts[following] if following < len(self.starts) else sys.maxsize

    def last_start(self, place: int) -> int:
        """Where the last word starts, at `place` or before it; 0 if none does."""
        following = bisect_right(self.starts, place)
        return self.starts[following - 1] if following else 0


def _windows(text: str) -> Iterator[tuple[int, int]]:
    """Stretches that can be tokenized one by one: about 32,768 characters, more where no safe cut is found."""
    start = 0
    while start < len(text):
        found = SAFE_CUT.search(text, start + WINDOW)
        end = found.end() if found else len(text)
        yield start, end
        start = end


def _words_of(text: str, shift: int) -> tuple[Offsets, Offsets, Offsets]:
    """Starts, ends and token counts of a text's words, moved by `shift`."""
    encoding = minilm.tokenizer().encode(text, add_special_tokens=False)
    offsets = np.array(encoding.offsets, np.int64).reshape(-1, 2) + shift
    numbers = np.array(encoding.word_ids, np.int64)
    first = np.flatnonzero(np.diff(numbers, prepend=-1))
    last = np.append(first[1:], len(numbers))
    return offsets[first, 0], offsets[last - 1, 1] if len(first) else offsets[:0, 1], last[: len(first)] - first


def _blocks(text: str, kind: str) -> Iterator[tuple[int, int, str]]:
    """Tile a text with (start, end, kind of unit): by structure, code by top-level definition, a dialogue by turn."""
    starts = {"code": _code_starts, "dialogue": _turn_starts}.get(kind, _prose_starts)(text)
    start, block = next(starts)
    for place, following in starts:
        yield start, place, block
        start, block = place, following
    yield start, len(text), block


def _code_starts(text: str) -> Iterator[tuple[int, str]]:
    """A block begins at the margin after an indented, a closing or an empty line."""
    open_block = False  # the line before stood at the margin: its decorators, comments and imports stay together
    for line in LINE.finditer(text):
        continues = not line.group().strip() or CONTINUES.match(line.group()) is not None
        if line.start() == 0 or not (continues or open_block):
            yield line.start(), "code"
        open_block = not continues


def _turn_starts(text: str) -> Iterator[tuple[int, str]]:
    """A block begins where a line names its speaker."""
    for line in LINE.finditer(text):
        if line.start() == 0 or TURN.match(line.group()):
            yield line.start(), "sentence"


def _prose_starts(text: str) -> Iterator[tuple[int, str]]:
    """A block begins at a heading, a fence, a list item or table row, and after an empty line."""
    fence, block, empty = "", "", True
    for line in LINE.finditer(text):
        content = line.group()
        blank, mark = not content.strip(), FENCE.match(content)
        if fence:
            if mark and mark.group(1).startswith(fence) and content.strip() == mark.group(1):
                fence, block = "", ""
            continue
        following = "code" if mark else "heading" if HEADING.match(content) else "sentence"
        begins = following != "sentence" or block != "sentence" or empty or ITEM.match(content) is not None
        if line.start() == 0 or (begins and not blank):
            yield line.start(), following
            block = following
        fence, empty = mark.group(1) if mark else "", blank


def _units(text: str, block: tuple[int, int, str], words: _Words, limit: int) -> Iterator[_Unit]:
    """Tile a block: whole if it is code that fits, else by line or by sentence, and those by words where they must."""
    start, end, kind = block
    whole = kind == "code" and end - start <= LONGEST and words.tokens(start, end) <= limit
    if whole or kind == "heading":
        ends: Iterator[int] = iter(())
    else:
        ends = (found.end() for found in (LINE if kind == "code" else SENTENCE_END).finditer(text, start, end))
    for place in (*ends, end):
        if place > start and (place == end or words.divides(place)):
            unit = _Unit(start, place, words.tokens(start, place), kind)
            if unit.tokens <= limit and place - start <= LONGEST:
                yield unit
            else:
                yield from _pieces(unit, words, limit)
            start = place


def _pieces(unit: _Unit, words: _Words, limit: int) -> Iterator[_Unit]:
    """Tile the unit with stretches of whole words; a word above 4,096 characters is cut."""
    start = unit.start
    while start < unit.end:
        end = words.farthest(start, limit) if words.divides(start) else words.next_start(start)
        end = min(end, unit.end)
        if end - start > LONGEST:
            end = words.last_start(start + LONGEST)
            end = end if end > start else start + LONGEST
        # A part of a word may have more tokens than the word, 100 at most: it is made to stand alone.
        whole = words.divides(start) and words.divides(end)
        yield _Unit(start, end, words.tokens(start, end) if whole else limit, unit.kind)
        start = end


def _pack(units: list[_Unit], limit: int) -> Iterator[tuple[int, int]]:
    """Gather units to chunks: (first, last), both included; consecutive chunks may share one sentence."""
    first, total = 0, 0
    for place, unit in enumerate(units):
        while place > first and _overflows(units[first], total, unit, limit):
            last = place - 1
            while last >= first and units[last].kind == "heading":
                last -= 1  # a heading goes with the text below it
            last = last if last >= first else place - 1
            yield first, last
            shares = last == place - 1 and last > first and _shareable(units[last], unit, limit)
            first = last if shares else last + 1
            total = sum(kept.tokens for kept in units[first:place])
        total += unit.tokens
    yield first, len(units) - 1


def _overflows(first: _Unit, total: int, unit: _Unit, limit: int) -> bool:
    if unit.kind == "heading" and total * 2 >= limit:
        return True
    return total + unit.tokens > limit or unit.end - first.start > LONGEST


def _shareable(last: _Unit, following: _Unit, limit: int) -> bool:
    """Whether a chunk's last sentence may also begin the next chunk: short, prose, and no section between."""
    if last.kind != "sentence" or following.kind != "sentence" or following.end - last.start > LONGEST:
        return False
    return last.tokens * 4 <= limit and last.tokens + following.tokens <= limit
