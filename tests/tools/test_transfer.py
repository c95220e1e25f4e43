"""Forgetting, exporting and importing: nothing is left of the one, nothing is lost by the others."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from typing import Any

import pytest

from ltmc_jobs.errors import InvalidArguments
from ltmc_jobs.memory import linking
from ltmc_jobs.services import Services
from ltmc_jobs.stores.sqlite_file import SqliteFile
from tests.tools.calling import Caller, services_without_redis
from workers.jobs.indexing import index_versions

TABLES = ("resources", "resource_versions", "resource_chunks", "vectors", "chat_history", "context_links")
Counts = dict[str, int]


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with services_without_redis(tmp_path_factory.mktemp("transfer")) as opened:
        yield opened


@pytest.fixture
def call(services: Services) -> Caller:
    """In a project of the test's own."""
    return Caller(services, f"p-{uuid.uuid4().hex}")


@pytest.fixture
def other(services: Services) -> Caller:
    return Caller(services, f"o-{uuid.uuid4().hex}")


def counts(services: Services) -> Counts:
    """Rows of every table that holds a memory, and the graph of it."""
    file = SqliteFile(services.shared.settings.records_file)
    with file.reading() as database:
        found = {name: database.execute(f"SELECT count(*) FROM {name}").fetchone()[0] for name in TABLES}  # noqa: S608
    file.close()
    return found | services.tiers.graph.count()


def store(call: Caller, name: str, content: str = "The comet comes back.", **more: Any) -> None:
    """A document in every tier, as the jobs that follow would leave it."""
    tiers = call.services.tiers
    stored = call("store_memory", file_name=name, content=content, **more)
    version = tiers.records.version(stored["resource_id"], stored["version"])
    assert version is not None
    chunks = tiers.records.version_chunks(version.resource_id, version.version)
    vectors = tiers.embedder.encode([chunk.text for chunk in chunks])
    tiers.records.add_vectors(list(zip(version.chunk_ids, vectors, strict=True)), model=tiers.model)
    tiers.records.publish(version.resource_id, version.version)
    linking.link(tiers.corpus, tiers.graph, [(version, chunks)])
    tiers.records.mark_linked(version.resource_id, version.version)


def exported(call: Caller, *, limit: int = 100, **asked: Any) -> list[dict[str, Any]]:
    """All records, page by page."""
    records: list[dict[str, Any]] = []
    cursor = None
    while True:
        page = call("export_memory", cursor=cursor, limit=limit, **asked)
        records += page["records"]
        assert page["count"] == len(page["records"]) <= limit
        cursor = page["next_cursor"]
        if cursor is None:
            return records


def found_words(call: Caller, words: str) -> list[str]:
    hits = call("retrieve_memory", query=words, match="words")["retrieved_chunks"]
    return [hit["file_name"] for hit in hits]


def fill(call: Caller) -> None:
    """Something of every kind."""
    store(call, "comet.md", "Comet Halley comes back every 76 years. See tail.md.", conversation_id="sky")
    store(call, "tail.md", "A comet's tail points away from the sun.", resource_type="note", speaker="Ada")
    store(call, "tail.md", "A comet's two tails point away from the sun.", resource_type="note", speaker="Ada")
    store(call, "turn.md", "I saw it.", conversation_id="sky", occurred_at="2026-03-05T20:00:00Z", position=7)
    message = call("log_chat", conversation_id="sky", role="user", content="When is it back?", source_tool="cli")
    chunk = call("retrieve_memory", query="Halley", match="words")["retrieved_chunks"][0]["chunk_id"]
    call("store_context_links", message_id=message["message_id"], chunk_ids=[chunk])
    call("log_chat", conversation_id="sky", role="assistant", content="In 2061.", metadata={"tokens": 4})
    done = call("add_todo", title="Buy a telescope", priority="high")
    call("complete_todo", todo_id=done["todo_id"])
    call("add_todo", title="Find a dark place", description="Far from town")
    call("link_resources", source_id="comet.md", target_id="tail.md", relation="grows a")
    call("link_resources", source_id="Edmond", target_id="Halley", relation="is called")


def test_all_tiers_forget_a_document(call: Caller, services: Services) -> None:
    """Versions, chunks, vectors, words, nodes and links of messages go; again, there is nothing left to remove."""
    before = counts(services)
    store(call, "kept.md", "The pole star stays.")
    kept = counts(services)
    store(call, "gone.md", "The zodiacal light of spring.")
    store(call, "gone.md", "The zodiacal light of autumn, as kept.md and @ada say.")
    message = call("log_chat", conversation_id="c", role="user", content="What glows?")
    chunk = call("retrieve_memory", query="zodiacal", match="words")["retrieved_chunks"][0]["chunk_id"]
    call("store_context_links", message_id=message["message_id"], chunk_ids=[chunk])

    done = call("forget_memory", file_name="gone.md")
    assert (done["documents"], done["versions"], done["chunks"], done["vectors"]) == (1, 2, 1, 1)
    assert (done["nodes"], done["messages"], done["file_names"]) == (3, 0, ["gone.md"])
    now = counts(services)
    assert now.pop("chat_history") == kept.pop("chat_history") + 1
    assert now == kept
    assert found_words(call, "zodiacal autumn") == []
    assert call("retrieve_memory", query="zodiacal light")["retrieved_chunks"][0]["file_name"] == "kept.md"
    again = call("forget_memory", file_name="gone.md")
    assert (again["documents"], again["message"]) == (0, "there was nothing of that kind")
    assert call("forget_memory", file_name="kept.md")["documents"] == 1
    assert {name: count for name, count in counts(services).items() if name != "chat_history"} == {
        name: count for name, count in before.items() if name != "chat_history"
    }
    store(call, "gone.md", "The zodiacal light comes anew.")
    assert found_words(call, "zodiacal") == ["gone.md"], "its name is free again, as version 1"


def test_one_that_is_forgotten_on_its_way_holds_up_no_other(call: Caller, services: Services) -> None:
    """Small documents are embedded and indexed together."""
    stored = [call("store_memory", file_name=f"{n}.md", content=f"The {n}th comet.") for n in range(3)]
    versions = [[one["resource_id"], one["version"], 1] for one in stored]
    assert call("forget_memory", file_name="1.md")["documents"] == 1
    assert index_versions(services, versions, [])["published"] == 2
    found = call("retrieve_memory", query="comet", match="meaning")["retrieved_chunks"]
    assert {hit["file_name"] for hit in found} == {"0.md", "2.md"}


def test_by_conversation_and_by_type(call: Caller, other: Caller) -> None:
    """A conversation goes with its messages; a type within it without them; other projects keep theirs."""
    for caller in (call, other):
        for number in range(5):
            store(caller, f"{number}.md", conversation_id="a" if number < 3 else "b", resource_type="nt"[number % 2])
        caller("log_chat", conversation_id="a", role="user", content="hello")
        caller("log_chat", conversation_id="b", role="user", content="hello")
    done = call("forget_memory", conversation_id="a", resource_type="t")
    assert (done["file_names"], done["messages"]) == (["1.md"], 0)
    done = call("forget_memory", conversation_id="a")
    assert (done["file_names"], done["messages"]) == (["0.md", "2.md"], 1)
    assert call("forget_memory", resource_type="t")["file_names"] == ["3.md"]
    assert [record["file_name"] for record in exported(call, kinds=["document"])] == ["4.md"]
    assert len(exported(other)) == 7


def test_all_of_a_project_is_never_forgotten_by_a_slip(call: Caller) -> None:
    store(call, "a.md")
    with pytest.raises(InvalidArguments, match="say what to forget"):
        call("forget_memory")
    assert len(exported(call, kinds=["document"])) == 1


def test_what_is_exported_comes_in_whole(call: Caller, other: Caller) -> None:
    """Content, type, conversation, time, speaker, place, chats with what they used, todos, links; twice is as once."""
    fill(call)
    records = exported(call, limit=2)
    kinds = [record["kind"] for record in records]
    assert kinds == ["document"] * 3 + ["message"] * 2 + ["todo"] * 2 + ["link"] * 2
    turn = next(record for record in records if record.get("file_name") == "turn.md")
    assert (turn["content"], turn["occurred_at"], turn["position"]) == (
        "I saw it.",
        "2026-03-05T20:00:00.000000+00:00",
        7,
    )
    asked = next(record for record in records if record.get("content") == "When is it back?")
    assert asked["used"] == [{"file_name": "comet.md", "chunk_index": 0}]

    through = json.loads(json.dumps(records))
    done = other("import_memory", records=through)
    assert [done[kind] for kind in ("documents", "messages", "todos", "links")] == [3, 2, 2, 2]
    assert (done["unchanged"], done["refused"]) == (0, [])
    plain = [{name: value for name, value in record.items() if name != "version"} for record in exported(other)]
    assert plain == [{name: value for name, value in record.items() if name != "version"} for record in records]
    for caller in (other, call):
        again = caller("import_memory", records=through)
        assert again["unchanged"] == len(records), again
    assert len(exported(other)) == len(records)


def test_attempts_at_code_move_and_go(call: Caller, other: Caller) -> None:
    """They are found where they came in, by the document that is made of them there; with it they are forgotten."""
    code = {"input_prompt": "Sort comets by size", "generated_code": "def by_size(comets): return sorted(comets)"}
    call("log_code_attempt", **code, result="pass", tags=["sorting", "comets"], execution_time_ms=3)
    records = exported(call)
    assert [record["kind"] for record in records] == ["pattern"]
    assert other("import_memory", records=records)["patterns"] == 1
    assert other("import_memory", records=records)["unchanged"] == 1
    assert exported(other) == records
    (found,) = other("get_code_patterns", query="order comets")["patterns"]
    assert (found["generated_code"], found["tags"]) == (code["generated_code"], ["sorting", "comets"])
    done = other("forget_memory", resource_type="code_pattern")
    assert (done["documents"], done["patterns"]) == (1, 1)
    assert exported(other) == []
    assert other("get_code_patterns", query="order comets")["patterns"] == []


def test_versions_are_listed_if_asked(call: Caller) -> None:
    fill(call)
    (tail,) = exported(call, file_name="tail.md", with_versions=True)
    assert [version["version"] for version in tail["versions"]] == [1, 2]
    assert "versions" not in exported(call, file_name="tail.md")[0]
    assert [record["kind"] for record in exported(call, conversation_id="sky")] == ["document"] * 2 + ["message"] * 2


def test_a_page_is_bounded(call: Caller) -> None:
    """By its number of records, and by their length; a record longer than a page has one of its own."""
    said = {"kind": "message", "conversation_id": "c", "content": "x " * 700_000, "timestamp": "2026-01-01"}
    call("import_memory", records=[said | {"role": f"{n}"} for n in range(3)])
    page = call("export_memory")
    assert (page["count"], page["totals"]["messages"]) == (1, 3)
    assert [record["role"] for record in exported(call)] == ["0", "1", "2"]


@pytest.mark.parametrize("odd", ["", "x", "todo", "document:-1", "document:x", "nothing:1", "todo:1"])
def test_a_cursor_of_elsewhere_is_refused(call: Caller, odd: str) -> None:
    with pytest.raises(InvalidArguments, match="no next_cursor"):
        call("export_memory", kinds=["document"], cursor=odd)


def test_a_bad_record_is_told_with_its_line_and_stops_nothing(call: Caller) -> None:
    good = {"kind": "document", "file_name": "good.md", "content": "Good."}
    records: list[Any] = [
        "no object",
        {"kind": "poem"},
        {"kind": "document", "file_name": "a\nb", "content": ""},
        {"kind": "document", "file_name": "half.md", "content": "\ud800"},
        {"kind": "todo", "title": "x", "created_at": "yesterday"},
        {"kind": "link", "source": "a", "relation": " ", "target": "b"},
        good | {"content": "An older one."},
        good,
        {"kind": "message", "conversation_id": "c", "role": "user", "content": "x"},
        {"kind": "document", "file_name": "next.md", "content": "Next.", "of_later_versions": 1},
    ]
    done = call("import_memory", records=records, first_line=11)
    assert [refused["line"] for refused in done["refused"]] == [11, 12, 13, 14, 15, 16, 17, 19]
    reasons = {refused["line"]: refused["reason"] for refused in done["refused"]}
    assert "file_name" in reasons[13]
    assert "good.md comes again on line 18" in reasons[17]
    assert reasons[19] == "timestamp: Field required"
    assert done["documents"] == 2
    assert [record["content"] for record in exported(call)] == ["Good.", "Next."]


def test_a_number_beyond_all_stops_nothing(call: Caller) -> None:
    """Hostile records: the others are taken; what is nested too deeply is refused as the caller's fault."""
    made = {"input_prompt": "a", "generated_code": "b", "result": "pass", "created_at": "2026-01-01"}
    todo = {"kind": "todo", "title": "Sleep", "created_at": "2026-01-01"}
    done = call("import_memory", records=[{"kind": "pattern", "execution_time_ms": 10**30, **made}, todo])
    assert (done["todos"], done["patterns"], [refused["line"] for refused in done["refused"]]) == (1, 0, [1])
    deep: dict[str, Any] = {}
    for _ in range(400):
        deep = {"in": deep}
    with pytest.raises(InvalidArguments, match="too deeply"):
        call("log_chat", conversation_id="c", content="x", metadata=deep)
