"""Surroundings: what stands around a chunk in its document and in its conversation."""

from __future__ import annotations

from ltmc_jobs.stores.contracts import Records
from tests.contracts.conftest import Writer


def near(records: Records, chunk_id: int) -> dict[int, int]:
    return records.surroundings([chunk_id]).near[chunk_id]


def test_chunks_of_a_document_stand_in_their_order(writer: Writer, records: Records) -> None:
    """M02: two each way, and none beyond its ends."""
    ids = writer.store("a.md", "one\ntwo\nthree\nfour\nfive\n").chunk_ids
    assert near(records, ids[2]) == {ids[0]: 2, ids[1]: 1, ids[3]: 1, ids[4]: 2}
    assert near(records, ids[0]) == {ids[1]: 1, ids[2]: 2}
    writer.store("b.md", "six\n")
    assert near(records, ids[4]) == {ids[3]: 1, ids[2]: 2}
    assert records.surroundings([4711]).places == {}


def test_turns_of_a_conversation_stand_in_their_order(writer: Writer, records: Records) -> None:
    """Turns are documents: by the order they came in, or the place given; a long one counts as its parts."""
    turns = [writer.store(f"{n}", "x\n" if n != 2 else "x\ny\n", conversation_id="talk").chunk_ids for n in range(5)]
    other = writer.store("other", "x\n", conversation_id="else").chunk_ids
    assert near(records, turns[1][0]) == {turns[0][0]: 1, turns[2][0]: 1, turns[2][1]: 2, turns[3][0]: 2}
    assert near(records, turns[2][1]) == {turns[2][0]: 1, turns[1][0]: 2, turns[3][0]: 1, turns[4][0]: 2}
    assert near(records, other[0]) == {}
    first = writer.store("late", "x\n", conversation_id="talk", position=0).chunk_ids
    assert near(records, first[0])[turns[0][0]] == 1
    place = records.surroundings([first[0]]).places[first[0]]
    assert (place.resource_type, place.is_part) == ("document", 1)


def test_a_day_later_is_another_talk(writer: Writer, records: Records) -> None:
    """Neighbours say what a turn is about only within one sitting."""
    days = [
        writer.store(f"{n}", "x\n", conversation_id="talk", occurred_at=f"2023-05-{day}T10:00:00.000000+00:00")
        for n, day in enumerate(("08", "08", "09"))
    ]
    first, second, third = (version.chunk_ids[0] for version in days)
    assert near(records, second) == {first: 1}
    assert near(records, third) == {}


def test_a_new_version_keeps_its_place(writer: Writer, records: Records) -> None:
    """A01: a turn that is corrected stands where it stood."""
    turns = [writer.store(f"{n}", f"x {n}\n", conversation_id="talk") for n in range(3)]
    again = writer.store("1", "corrected\n", conversation_id="talk").chunk_ids
    assert near(records, again[0]) == {turns[0].chunk_ids[0]: 1, turns[2].chunk_ids[0]: 1}
