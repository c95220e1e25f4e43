"""M10: whatever the text, its chunks give it back whole, and the model reads each of them to its end."""

from __future__ import annotations

import inspect
import textwrap
import time
from collections.abc import Sequence
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ltmc_jobs.llm import minilm
from ltmc_jobs.memory.chunking import CAP_TOKENS, split
from ltmc_jobs.stores.contracts import ChunkText

MEGABYTE = 1_000_000
PIECES = (
    *(
        ". ",
        "! ",
        "? ",
        "e.g. ",
        "…",
        "”",
        "\n",
        "\r\n",
        "\n\n",
        " " * 50,
        "\t",
        "\0",
        "\x0c",
        "\x1c",
        "\u2028",
        "\ufeff",
    ),
    *("# Heading\n", "## ", "```\n", "```python\n", "~~~~\n", "- item ", "1. ", "| a | b |\n", "[SEP]", "[MASK]"),
    *("def f():\n", "    return 1\n", "class A:\n", "@decorated\n", "}\n", "word ", "Antidisestablishmentarianism "),
    *(
        "1" * 99,
        "a" * 101,
        "x" * 5000,
        "漢字",
        "漢字。",
        "ひらがな",
        "한글",
        "😀👩\u200d👧",
        "e\u0301",
        "\u0301",
        "\u200b",
    ),
    *("\u00a0", "\u3000", "ﬁ", "ẞ"),
)
anything = st.text(st.characters(exclude_categories=["Cs"]), max_size=400)
texts = st.one_of(
    anything,
    st.lists(st.one_of(st.sampled_from(PIECES), anything), max_size=60).map("".join),
    st.tuples(st.sampled_from(PIECES), st.integers(1, 700)).map(lambda drawn: drawn[0] * drawn[1]),
)


def tokens(text: str) -> int:
    return len(minilm.tokenizer().encode(text, add_special_tokens=False).ids)


def rebuilt(chunks: Sequence[ChunkText]) -> str:
    """The chunks joined, each without what the one before had already."""
    read, joined = 0, ""
    for chunk in chunks:
        assert chunk.start <= read < chunk.end, "a gap, or a chunk that brings nothing new"
        joined += chunk.content[read - chunk.start :]
        read = chunk.end
    return joined


@given(texts, st.sampled_from(["document", "code"]))
@settings(max_examples=250, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_no_character_is_lost_and_no_chunk_is_too_long(text: str, kind: str) -> None:
    """M10: joined chunks without their overlaps are the text; none has more tokens than the limit."""
    chunks = split(text, kind=kind)
    assert rebuilt(chunks) == text
    assert all(chunk.content == text[chunk.start : chunk.end] for chunk in chunks)
    assert all(tokens(chunk.content) <= 200 for chunk in chunks)


@given(texts, st.integers(1, CAP_TOKENS))
@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_every_limit_is_kept(text: str, limit: int) -> None:
    """M10: a smaller limit holds too, but for a single word that is longer (100 tokens at most)."""
    chunks = split(text, limit_tokens=limit)
    assert rebuilt(chunks) == text
    assert all(tokens(chunk.content) <= max(limit, 100) for chunk in chunks)


@pytest.mark.parametrize("kind", ["document", "code"])
@pytest.mark.parametrize(
    "piece",
    [
        *("a", "漢字", "漢。", "😀", "\0", ".", "`", "한글", "\u0301", '."', "ab\r\n", ".\n", "```\n", "# a\n"),
        *("1" * 99 + " ", "A sentence of seven words stands here. ", "a" + " " * 3000),
    ],
    ids=repr,
)
def test_a_megabyte_of_anything_takes_linear_time(piece: str, kind: str) -> None:
    """M10: 1 MB without punctuation, without words, in other scripts; processor time, as the machine is shared."""
    text = (piece * (MEGABYTE // len(piece) + 1))[:MEGABYTE]
    began = time.process_time()
    chunks = split(text, kind=kind)
    assert time.process_time() - began < 20  # 0.1 to 2.5 s, on a crowded machine three times that; quadratic: minutes
    assert rebuilt(chunks) == text
    assert max(tokens(chunk.content) for chunk in (*chunks[:50], *chunks[-50:])) <= 200


@pytest.mark.parametrize("rest", [1, 50, 99, 100, 101])
def test_the_rest_of_a_cut_word_is_counted_anew(rest: int) -> None:
    """M10: a word too long for the tokenizer is one token; what a cut leaves of it may be fifty."""
    text = "Before. " + "1" * (2 * 4096 + rest) + " " + "word " * 400
    chunks = split(text)
    assert rebuilt(chunks) == text
    assert max(tokens(chunk.content) for chunk in chunks) <= 200
    assert max(len(chunk.content) for chunk in chunks) == 4096


def test_an_empty_text_has_no_chunks() -> None:
    """M10: nothing to remember, nothing recorded."""
    assert split("") == []


def test_white_space_is_one_chunk() -> None:
    """M10: even that comes back."""
    assert split(" \n\t " * 2000) == [ChunkText(" \n\t " * 2000, 0, 8000)]


def test_a_short_text_is_one_chunk() -> None:
    """M10: nothing is cut that fits."""
    assert split("One. Two!\n\nThree?") == [ChunkText("One. Two!\n\nThree?", 0, 17)]


def test_chunks_end_with_sentences_and_share_one() -> None:
    """M10: a chunk begins with the last sentence of the one before."""
    text = " ".join(f"Sentence number {number} tells of the thing with number {number}." for number in range(100))
    chunks = split(text)
    assert len(chunks) > 5
    for one, other in pairwise(chunks):
        assert one.content.rstrip().endswith(".")
        shared = text[other.start : one.end]
        assert shared.startswith("Sentence number")
        assert shared.count("Sentence") == 1
    assert min(tokens(chunk.content) for chunk in chunks[:-1]) > 150


def test_an_abbreviation_ends_no_sentence() -> None:
    """A full stop before a small letter is no end: the shared sentence is the whole one."""
    text = "Some things, e.g. the one of this sentence, are written with full stops inside. " * 40
    one, other, *_ = split(text)
    assert text[other.start : one.end].startswith("Some things")


def test_a_heading_stays_with_its_text() -> None:
    """A chunk never ends with the heading of the next one."""
    section = "# A heading\n\n" + "The text below the heading has several words in its sentences. " * 12 + "\n\n"
    chunks = split(section * 10)
    assert not any(chunk.content.rstrip().endswith("# A heading") for chunk in chunks)
    assert sum(chunk.content.startswith("# A heading") for chunk in chunks) == 10


def test_fenced_code_stays_whole() -> None:
    """A fence that fits in a chunk is not cut, even where it looks like sentences, headings or white space."""
    fence = "```python\n# Not a heading. Not a sentence.\n\n" + "value = compute(value)\n" * 15 + "```\n"
    text = ("Some words before the code that fill the chunk to its middle or so. " * 8 + "\n\n" + fence + "\n") * 5
    assert sum(fence in chunk.content for chunk in split(text)) == 5


def test_code_is_cut_between_its_functions() -> None:
    """A top-level function that fits stands in one chunk, with its decorators and comments."""
    functions = [
        f"# Number {number}.\n@cache\ndef function_{number}(value):\n\n    if value:\n        return {number}\n"
        f"    else:\n        return [\n            value,\n        ]\n\n\n"
        for number in range(30)
    ]
    chunks = split("".join(functions), kind="code")
    assert len(chunks) > 3
    assert all(any(function in chunk.content for chunk in chunks) for function in functions)
    assert all(chunk.content.startswith("# Number") for chunk in chunks)
    assert rebuilt(chunks) == "".join(functions)


def test_a_long_function_is_cut_between_lines() -> None:
    """What does not fit whole is cut at the end of a line."""
    source = inspect.getsource(textwrap)
    chunks = split(source, kind="code")
    assert rebuilt(chunks) == source
    assert all(chunk.content.endswith("\n") for chunk in chunks)


@pytest.mark.parametrize("limit", [0, -1, CAP_TOKENS + 1])
def test_a_limit_that_the_model_cannot_read_is_refused(limit: int) -> None:
    """M10: the model would cut such chunks in silence."""
    with pytest.raises(ValueError, match="1 to 254"):
        split("text", limit_tokens=limit)


def test_tokens_are_counted_to_the_end() -> None:
    """The tokenizer's file asks for a cut at 128; counting does not obey it."""
    assert tokens("word " * 1000) == 1000


def test_each_turn_of_a_dialogue_is_cut_by_itself() -> None:
    """M10: a line that names its speaker begins a turn; what follows belongs to it."""
    turns = [
        "# Meeting\n\n",
        "Ada: hello there\nhow are you?\n",
        "[10:02] Grace: fine: thanks\n",
        "**Bob Smith:** ok\n\n",
        "Ada: bye\n",
    ]
    assert [chunk.content for chunk in split("".join(turns), kind="dialogue")] == turns
    long = "Ada: " + "This is a sentence of some length. " * 60
    assert len(split(long + "\nBob: yes\n", kind="dialogue")) > 2
    assert [chunk.content for chunk in split("no speaker here", kind="dialogue")] == ["no speaker here"]
