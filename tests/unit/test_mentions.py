"""Mentions and names: what a text names outright, and what callers may call a relation."""

from __future__ import annotations

import time

import pytest

from ltmc_jobs.errors import InvalidArguments
from ltmc_jobs.memory.mentions import MENTIONS_MAX, mentions
from ltmc_jobs.memory.naming import relation_of
from ltmc_jobs.stores.contracts import check_graph_name


def found(text: str, *, is_code: bool = False) -> set[tuple[str, str]]:
    return {(mention.form, mention.name) for mention in mentions(text, is_code=is_code)}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("See https://example.com/a/b.md, and (https://x.org/y_(z)).",
         {("address", "https://example.com/a/b.md"), ("address", "https://x.org/y_(z)")}),
        ("In ./docs/plan.v2.md, `README.md` and src/a.py.",
         {("file", "docs/plan.v2.md"), ("file", "README.md"), ("file", "src/a.py")}),
        ("[[Meeting notes]] and [[Plan|the plan]], [raw](notes/raw) or [it](notes/it.md 'title')",
         {("file", "Meeting notes"), ("file", "Plan"), ("file", "notes/raw"), ("file", "notes/it.md")}),
        ("@ada and (@bob-2), not me@example.com, not @a", {("person", "@ada"), ("person", "@bob-2")}),
        ("# Title\n#release #größe, not #fff or #12ab34 or a#b", {("tag", "#release"), ("tag", "#größe")}),
        ("#42, acme/app#7 and LTMC-12; UTF-8, SHA-256, 2026-11-21",
         {("issue", "#42"), ("issue", "acme/app#7"), ("issue", "LTMC-12")}),
        ("`parse_config()`, `Store.open` and `loadAll`, not `word` nor plain_text",
         {("identifier", "parse_config"), ("identifier", "Store.open"), ("identifier", "loadAll")}),
        ("e.g. this, i.e. version 1.2.3 of U.S. law...", set()),
        ("", set()),
    ],
)  # fmt: skip
def test_what_is_named_is_found_by_its_form(text: str, expected: set[tuple[str, str]]) -> None:
    """A19: exact names and nothing like them."""
    assert found(text) == expected


def test_signs_mean_other_things_in_code() -> None:
    """A19: a decorator is no person, a comment no tag; files and issues are what they are."""
    assert found("@dataclass\n#todo see util.py #12", is_code=True) == {("file", "util.py"), ("issue", "#12")}


def test_what_is_named_most_is_kept() -> None:
    """A19: a text that names hundreds keeps those that it names most often, in its order."""
    text = " ".join(f"@user{n}" for n in range(300)) + " @user250" * 2
    kept = mentions(text)
    assert len(kept) == MENTIONS_MAX
    assert [(one.name, one.count) for one in kept[:2]] == [("@user250", 3), ("@user0", 1)]


@pytest.mark.parametrize("part", ["a.", "a/", "#", "`a", "[[", "](", "@a", "A-1", "x", "https://", "a/b#", "[", "."])
def test_no_text_takes_long(part: str) -> None:
    """A19: half a megabyte of whatever is alike to a name."""
    began = time.process_time()
    mentions(part * (500_000 // len(part)))
    assert time.process_time() - began < 2


@pytest.mark.parametrize(
    ("words", "relation"),
    [
        ("depends on", "DEPENDS_ON"), ("Depends-On", "DEPENDS_ON"), (" DEPENDS__ON ", "DEPENDS_ON"),
        ("C", "C"), ("C++", "C_PLUS_SIGN_PLUS_SIGN"), ("<", "LESS_THAN_SIGN"), ("2nd of", "R_2ND_OF"),
        ("größer als", "GRÖSSER_ALS"), ("依存する", "依存する"), ("ｗｉｄｅ", "WIDE"),
        ("a`b\\", "A_GRAVE_ACCENT_B_REVERSE_SOLIDUS"), ("संबंध", "संबंध"), ("सबध", "सबध"), ("ﬁnds", "FINDS"),
    ],
)  # fmt: skip
def test_words_become_a_relation(words: str, relation: str) -> None:
    """A17, A18: case, blanks and hyphens do not count; signs do, and none of them reaches a statement."""
    assert relation_of(words) == relation
    assert relation_of(relation) == relation
    check_graph_name(relation)


@pytest.mark.parametrize("words", ["", " ", "_-_"])
def test_no_words_are_no_relation(words: str) -> None:
    """A17: what has neither letter nor sign is refused."""
    with pytest.raises(InvalidArguments, match="needs a word"):
        relation_of(words)
