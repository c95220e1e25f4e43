"""What asks several sources: each reads its real store; types are limits, weights are read and set."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from ltmc_jobs.errors import InvalidArguments, NoModel
from ltmc_jobs.services import Services
from tests.tools.calling import Caller, services_without_redis

NAMED = "code_pattern/7"
SOURCES = ["document", "code", "chat", "todo"]


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with services_without_redis(tmp_path_factory.mktemp("sources")) as opened:
        yield opened


@pytest.fixture
def call(services: Services) -> Caller:
    """In a project of the test's own, where every source knows something of harbours."""
    caller = Caller(services, f"p-{uuid.uuid4().hex}")
    caller("store_memory", file_name="harbour.md", content="The harbour opens in March.", resource_type="note")
    caller("log_code_attempt", input_prompt="open the harbour", generated_code="harbour.open()", result="pass")
    caller("log_chat", conversation_id="talk", content="When does the harbour open?", role="user")
    caller("add_todo", title="Paint the harbour wall")
    return caller


def test_each_source_reads_its_own_store(call: Caller) -> None:
    """A05: documents, code patterns, chat history and todos; results per source and combined."""
    found = call("route_query", query="harbour", top_k=3)
    assert found["successful_sources"] == found["source_types"] == SOURCES
    first = {name: result["documents"][0] for name, result in found["results_by_source"].items()}
    assert [first[name]["metadata"]["source"] for name in SOURCES] == SOURCES
    assert first["document"]["content"] == "The harbour opens in March."
    assert first["code"]["content"] == "harbour.open()"
    assert first["chat"]["content"] == "When does the harbour open?"
    assert first["todo"]["title"] == "Paint the harbour wall"
    assert found["total_documents"] == sum(result["count"] for result in found["results_by_source"].values()) == 4
    assert all(one["content"] in found["context"] for one in first.values())
    assert found["combined_answer"] is None
    scores = [one["score"] for one in found["top_documents"]]
    assert scores == sorted(scores, reverse=True)


def test_attempts_take_no_documents_place(call: Caller) -> None:
    """A05: a project full of code still shows its documents; one that has nothing else shows none."""
    for n in range(40):
        call("log_code_attempt", input_prompt=f"when does the harbour open {n}", generated_code="x", result="pass")
    found = call("route_query", query="when does the harbour open", source_types=["document"], top_k=1)
    assert [one["title"] for one in found["results_by_source"]["document"]["documents"]] == ["harbour.md"]
    alone = Caller(call.services, f"p-{uuid.uuid4().hex}")
    alone("log_code_attempt", input_prompt="open the harbour", generated_code="x", result="pass")
    assert alone("route_query", query="harbour", source_types=["document"])["total_documents"] == 0


def test_nobody_takes_an_attempts_name(call: Caller) -> None:
    """A23: neither stored nor imported, for the one would take the other's place."""
    with pytest.raises(InvalidArguments, match="log_code_attempt") as raised:
        call("store_memory", documents=[{"file_name": "a.md", "content": "x"}, {"file_name": NAMED, "content": "x"}])
    assert raised.value.details == {"field": "file_name"}
    taken = call("import_memory", records=[{"kind": "document", "file_name": NAMED, "content": "x"}])
    assert (taken["documents"], len(taken["refused"])) == (0, 1)


def test_sources_top_k_and_budget_are_limits_of_their_own(call: Caller) -> None:
    """A05: only the sources asked for; `top_k` counts finds, `max_tokens` the context."""
    for n in range(9):
        call("add_todo", title=f"harbour {n}", description="a long description " * 20)
    found = call("route_query", query="harbour", source_types=["todo"], top_k=4, max_tokens=100)
    assert found["results_by_source"].keys() == {"todo"}
    assert found["results_by_source"]["todo"]["count"] == 4
    assert found["token_count"] <= 100
    assert found["documents_used"] < 4
    assert call("route_query", query="zebra", source_types=["chat", "todo"])["successful_sources"] == []
    with pytest.raises(InvalidArguments, match=r"document.*code.*chat.*todo") as raised:
        call("route_query", query="harbour", source_types=["mail"])
    assert raised.value.details == {"field": "source_types.0"}


def test_a_type_is_a_limit(call: Caller) -> None:
    """A12: the nearest of that type, whatever lies nearer of another."""
    for n in range(30):
        call("store_memory", file_name=f"{n}.md", content=f"The harbour opens in March {n}.", resource_type="mail")
    found = call("retrieve_by_type", query="when does the harbour open", doc_type="note", top_k=3)
    assert [(one["title"], one["type"]) for one in found["documents"]] == [("harbour.md", "note")]
    assert call("retrieve_by_type", query="harbour", doc_type="nothing")["documents"] == []


def test_without_a_model_there_is_no_answer(call: Caller) -> None:
    """A04: a typed error, and never a text that nobody wrote."""
    with pytest.raises(NoModel):
        call("ask_with_context", question="When does it open?", context_limit=3)
    assert NoModel.retry is False


def test_weights_are_read_and_set(call: Caller) -> None:
    """M12: each kind's; a change shows in the scores; unknown ones are refused; the built-in ones come back."""
    built_in = call("get_retrieval_weights")["weights"]
    assert [one["kind"] for one in built_in] == ["dialogue", "document", "code"]
    assert not any(one["is_own"] for one in built_in)
    call("set_retrieval_weights", kind="document", meaning=0, words=1)
    found = call("retrieve_memory", query="when does the harbour open", explain=True)["retrieved_chunks"]
    (note,) = [chunk for chunk in found if chunk["file_name"] == "harbour.md"]
    assert note["signals"]["weights"] == {"meaning": 0.0, "words": 1.0, "neighbours": 0.1}
    assert note["score"] == pytest.approx(note["signals"]["words"])
    with pytest.raises(InvalidArguments):
        call("set_retrieval_weights", kind="document", words=0)
    with pytest.raises(InvalidArguments):
        call("set_retrieval_weights", kind="document", recency=1)
    assert call("set_retrieval_weights", kind="document")["weights"] == built_in
