"""Search by words: what is found, what counts for more, and that a scope knows of no other."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ltmc_jobs.stores.contracts import Records, Scope
from tests.contracts.conftest import Writer

EVERYTHING = Scope("default")


def ranked(records: Records, query: str, scope: Scope = EVERYTHING) -> list[int]:
    """Ids of the chunks found, best first."""
    scores = records.search_words(query, scope=scope).scores
    return sorted(scores, key=lambda chunk_id: (-scores[chunk_id], chunk_id))


def test_words_are_found_from_recorded_on(writer: Writer, records: Records) -> None:
    """A02: at once, whatever their endings; the version that is visible, or the newest where none is."""
    version = writer.record("a.md", "The cat sat on a mat\nDogs were running\n")
    writer.record("b.md", "cat\n", project="other")
    cat, dog = version.chunk_ids
    assert ranked(records, 'cats NOT "running AND mat*') == [cat, dog]
    assert ranked(records, '-- "* ') == []
    newer = writer.record("a.md", "The cow\n")
    assert ranked(records, "cat") == []
    assert ranked(records, "cow") == list(newer.chunk_ids)
    visible = writer.store("a.md", "Horses\n")
    writer.record("a.md", "Horses and cows\n")
    assert ranked(records, "horses cow") == list(visible.chunk_ids)


def test_rare_repeated_and_neighbouring_words_count_for_more(writer: Writer, records: Records) -> None:
    """M12: BM25's rarity and repetition, and words side by side as they were asked for."""
    ids = writer.store(
        "a.md",
        "harbour plan one\nharbour plan two\nharbour plan three\nthe zebra and the harbour\n"
        "harbour harbour harbour harbour, a plan\nplan for a harbour\n",
    ).chunk_ids
    assert ranked(records, "zebra harbour")[0] == ids[3]
    assert ranked(records, "harbour")[0] == ids[4]
    scores = records.search_words("harbour plan", scope=EVERYTHING).scores
    assert scores[ids[0]] > scores[ids[5]], "side by side, and as long"


def test_stop_words_count_where_there_is_nothing_else(writer: Writer, records: Records) -> None:
    """A02: a query of telling words finds nothing by its others."""
    ids = writer.store("a.md", "what is this\na harbour\n").chunk_ids
    assert ranked(records, "what is a harbour") == [ids[1]]
    assert ranked(records, "what is it") == [ids[0]]
    assert records.search_words("what is it", scope=EVERYTHING).strength < 0.5
    assert records.search_words("harbour", scope=EVERYTHING).strength == 1.0


def test_parts_of_identifiers_are_words(writer: Writer, records: Records) -> None:
    """A24: camelCase and snake_case, in the text and in the query."""
    ids = writer.store(
        "a.py", "def readUserName(): pass\ndef write_user_file(): pass\nclass HTTPServer: pass\n"
    ).chunk_ids
    assert ranked(records, "user name")[0] == ids[0]
    assert ranked(records, "writeUserFile")[0] == ids[1]
    assert ranked(records, "server") == [ids[2]]


@pytest.mark.parametrize("scope", [Scope("default"), Scope("default", "talk"), Scope("default", None, ("note",))])
def test_a_noisy_neighbour_changes_nothing(scope: Scope, writer: Writer, records: Records) -> None:
    """Other projects, and within a project other conversations and types, move no score by a hair."""
    for n in range(20):
        writer.store(f"{n}.md", f"the harbour opens in month {n}\n", conversation_id="talk", resource_type="note")
    before = records.search_words("when does the harbour open in month 7", scope=scope)
    assert len(before.scores) == 20
    outside = [{"project": "other"}]
    outside += [{"conversation_id": "else"}] if scope.conversation_id else []
    outside += [{"resource_type": "mail"}] if scope.resource_types else []
    for n, more in enumerate(outside * 5):
        writer.store(f"noise {n}.md", "harbour month 7 " * 400 + "\n", **more)
    assert records.search_words("when does the harbour open in month 7", scope=scope) == before


def test_a_scope_in_time(writer: Writer, records: Records) -> None:
    """When it happened counts, and where that is not known, when it was stored."""
    old = writer.store("old.md", "harbour\n", occurred_at="2023-05-08T00:00:00.000000+00:00")
    new = writer.store("new.md", "harbour\n")
    year = replace(EVERYTHING, after="2023-01-01T00:00:00.000000+00:00", before="2024-01-01T00:00:00.000000+00:00")
    assert ranked(records, "harbour", year) == list(old.chunk_ids)
    assert records.searchable([*old.chunk_ids, *new.chunk_ids], scope=year) == set(old.chunk_ids)
    assert records.in_scope(year, limit=9) == list(old.chunk_ids)
    assert ranked(records, "harbour", replace(EVERYTHING, after=year.before)) == list(new.chunk_ids)


def test_names_of_scopes_may_hold_anything(writer: Writer, records: Records) -> None:
    """M03: quotes, operators, white space and long names are names."""
    for name in ('a"b', "a OR b", "ünï\n", "x" * 200, "*"):
        version = writer.store(f"{hash(name)}.md", "harbour\n", conversation_id=name)
        assert ranked(records, "harbour", Scope("default", name)) == list(version.chunk_ids)
