"""Retrieval as an agent sees it over HTTP: what was stored a moment ago, inside a conversation, and explained."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from tests.acceptance.conftest import Platform
from tests.api import call

TURNS = (
    ("Anna", "2023-05-07T10:00:00Z", "I finally signed up for the pottery class"),
    ("Ben", "2023-05-07T10:01:00Z", "Which one, the one at the mill?"),
    ("Anna", "2023-05-07T10:02:00Z", "Yes, every Tuesday, and it costs forty euros"),
    ("Ben", "2023-06-20T18:00:00Z", "I went to the lake with my kids"),
    ("Anna", "2023-06-20T18:01:00Z", "Lovely! Did you swim?"),
    ("Ben", "2023-06-20T18:02:00Z", "Only the dog did"),
)


@pytest.fixture
def project() -> str:
    return f"p-{uuid.uuid4().hex}"


def ask(platform: Platform, project: str, query: str, **more: Any) -> list[dict[str, Any]]:
    answer = call(platform.url, "retrieve_memory", {"query": query, **more}, project=project)
    assert (answer["success"], answer["missing"]) == (True, [])
    found: list[dict[str, Any]] = answer["retrieved_chunks"]
    return found


def test_what_was_stored_is_found_at_once(platform: Platform, project: str) -> None:
    """A01, A02: a store answers when its text is found by meaning, and one that does not wait, by its words."""
    for number, thing in enumerate(("lighthouse", "cathedral", "windmill", "aqueduct", "observatory", "granary")):
        name, text = f"{thing}.md", f"The {thing} was built by mason number {number}."
        call(platform.url, "store_memory", {"file_name": name, "content": text}, project=project)
        best = ask(platform, project, f"who built the {thing}?", top_k=1)[0]
        assert (best["file_name"], best["match"]) == (name, "both")
        newer = {"file_name": f"new-{name}", "content": f"A painter will repaint the {thing}.", "wait_for": "recorded"}
        call(platform.url, "store_memory", newer, project=project)
        assert ask(platform, project, f"who will repaint the {thing}?", top_k=1)[0]["file_name"] == f"new-{name}"


def test_a_conversation_is_asked_by_who_when_and_what_was_said_around(platform: Platform, project: str) -> None:
    """A02: turns stored one by one; the scope limits to their conversation, and each hit says where it is from."""
    for number, (speaker, when, text) in enumerate(TURNS):
        turn = {"file_name": f"turn-{number}", "content": text, "conversation_id": "talk", "speaker": speaker}
        call(platform.url, "store_memory", turn | {"occurred_at": when, "wait_for": "recorded"}, project=project)
    last = {"file_name": "elsewhere", "content": "Anna has a pottery class in June 2023 at the lake with Ben's dog"}
    call(platform.url, "store_memory", last, project=project)
    inside = {"conversation_id": "talk", "scope": "conversation", "log_query": False, "top_k": 3}

    def first(query: str) -> list[str]:
        found = ask(platform, project, query, **inside)
        assert {one["conversation_id"] for one in found} == {"talk"}
        return [one["file_name"] for one in found]

    assert first("When did Ben go to the lake?")[0] == "turn-3"
    assert "turn-2" in first("How much does Anna's pottery class cost?")
    assert first("What did Anna say in June 2023?")[0] == "turn-4"
    best = ask(platform, project, "When did Ben go to the lake?", explain=True, **inside)[0]
    assert (best["speaker"], best["occurred_at"][:10]) == ("Ben", "2023-06-20")
    assert best["signals"]["kind"] == "dialogue"
    assert set(best["signals"]["weights"]) == {"meaning", "words", "neighbours"}
