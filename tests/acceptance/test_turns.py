"""Two front ends without a memory of their callers: what one of them began, the other answers.

tests/acceptance/test_jsonrpc.py and test_rest.py ask two by turns, too.
"""

from __future__ import annotations

from typing import Any

import httpx
import pytest

PROJECT = {"project": "turns"}
MCP = {"Accept": "application/json, text/event-stream", "MCP-Protocol-Version": "2026-07-28"}


@pytest.fixture(scope="module")
def web(two_fronts: httpx.Client) -> httpx.Client:
    return two_fronts


def test_t20_a_job_belongs_to_no_front_end(web: httpx.Client) -> None:
    """T20: begun at one, looked at, waited for and cancelled at the other; the same key is the same job at both."""
    for number in range(3):  # an odd number of requests each, so that every step comes to both
        note = {"file_name": f"turn-{number}.md", "content": f"Turn {number}."}
        key = {"Idempotency-Key": f"turn-{number}"}
        stored = [web.post("/tools/store_memory", params=PROJECT | {"wait": 0}, json=note, headers=key) for _ in "ab"]
        job_id, again = (answer.json()["job_id"] for answer in stored)
        assert job_id == again
        result = web.get(f"/jobs/{job_id}/result", params=PROJECT | {"wait": 30})
        assert (result.status_code, result.json()["version"]) == (200, 1)
        assert web.get(f"/jobs/{job_id}", params=PROJECT).json()["status"] == "finished"
        assert web.delete(f"/jobs/{job_id}", params=PROJECT).json()["cancelled"] is False


def test_t20_what_one_changes_the_other_sees(web: httpx.Client) -> None:
    """T20: cached answers too: none of before is given after a change, whoever is asked."""
    for number in range(4):
        note = {"file_name": "seen.md", "content": f"The lamp is lit {number} times.", "wait_for": "searchable"}
        web.post("/tools/store_memory", params=PROJECT | {"wait": 30}, json=note)
        for _ in range(3):
            asked = {"query": "how often is the lamp lit?", "top_k": 1}
            found = web.post("/tools/retrieve_memory", params=PROJECT | {"wait": 30}, json=asked).json()
            assert found["retrieved_chunks"][0]["content"] == note["content"]


def test_t20_an_mcp_client_needs_no_front_end_of_its_own(web: httpx.Client) -> None:
    """T20: the current protocol has no sessions: each request stands for itself."""
    for number in range(1, 4):
        answer = mcp(web, number, "tools/call", {"name": "redis_health_check", "arguments": {}})
        assert answer["result"]["structuredContent"]["health"]["healthy"] is True, answer
        assert answer["id"] == number


def mcp(web: httpx.Client, number: int, method: str, params: dict[str, Any]) -> dict[str, Any]:
    """The answer to one request of the current protocol."""
    prefix = "io.modelcontextprotocol"
    meta = {
        f"{prefix}/protocolVersion": "2026-07-28",
        f"{prefix}/clientInfo": {"name": "turns", "version": "1"},
        f"{prefix}/clientCapabilities": {},
    }
    body = {"jsonrpc": "2.0", "id": number, "method": method, "params": params | {"_meta": meta}}
    named = MCP | {"Mcp-Method": method, "Mcp-Name": params["name"]}
    response = web.post("/mcp", json=body, headers=named)
    assert response.status_code == 200, response.text
    shown: dict[str, Any] = response.json()
    return shown
