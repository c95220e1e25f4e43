"""The tools over JSON-RPC: the schemas that are listed are those that are enforced; the seed's own example works."""

from __future__ import annotations

import json
import shutil
import subprocess
import urllib.request
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from jsonschema import Draft202012Validator

from ltmc_jobs import client, registry
from tests.acceptance.conftest import Platform
from tests.acceptance.front import web_of

assert client.tools  # declares them, as the front end's import of it does

NO_SUCH_JOB = "01a1fd74-0000-7000-8000-000000000000"
JSON_TYPE = {"Content-Type": "application/json"}
SEED = (
    '{"jsonrpc":"2.0","method":"tools/call","params":{"name":"store_memory",'
    '"arguments":{"content":"Test with orchestration","file_name":"test.md"}},"id":1}'
)


@pytest.fixture(scope="module")
def web(platform: Platform) -> Iterator[httpx.Client]:
    with web_of(platform.url) as opened:
        yield opened


def say(web: httpx.Client, body: Any, **query: object) -> Any:
    """The answer to a request or a batch."""
    answer = web.post("/jsonrpc", json=body, params={name: str(value) for name, value in query.items()})
    assert answer.status_code == 200, answer.text
    return answer.json()


def request(method: str, params: Any = None, id: Any = 1) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": id, "method": method} | ({} if params is None else {"params": params})


def test_t03_each_tool_is_listed_with_the_schema_that_is_enforced(web: httpx.Client) -> None:
    """T03: name, description, a schema of draft 2020-12; and that very object decides over a call."""
    listed = say(web, request("tools/list"))["result"]["tools"]
    assert [tool["name"] for tool in listed] == [form.name for form in registry.forms()]
    for tool in listed:
        form = registry.find(tool["name"]).form
        Draft202012Validator.check_schema(tool["inputSchema"])
        assert tool["inputSchema"]["$schema"] == "https://json-schema.org/draft/2020-12/schema"
        assert tool["description"].strip()
        assert tool["inputSchema"] == form.input_schema
        assert form.validator.schema is form.input_schema


def test_t03_the_listed_schema_and_the_server_agree_over_every_call(web: httpx.Client) -> None:
    """T03: for each argument of each tool and many values, what the schema refuses is refused, and nothing else."""
    values: list[Any] = [None, True, 0, -1, 3, 501, 2.5, "", "x", "x" * 65, "meaning", "finished", [], {}, ["x"]]
    full: dict[str, Any] = {"file_name": "t03", "content": "x", "query": "x", "job_id": NO_SUCH_JOB}
    full |= {"conversation_id": "t03", "source_tool": "t03", "title": "x", "documents": [{"content": "x"}]}
    full |= {"todo_id": 1, "message_id": 1, "chunk_id": 1, "chunk_ids": [1], "doc_type": "note", "kind": "code"}
    full |= {"input_prompt": "x", "generated_code": "x", "result": "pass", "entity": "x", "document_id": "x"}
    full |= {"source_id": "x", "target_id": "y", "relation": "z", "answers": {}, "doc_id": "x", "records": []}
    for tool in say(web, request("tools/list"))["result"]["tools"]:
        schema = tool["inputSchema"]
        base = {name: full[name] for name in schema.get("required", [])}
        tried = [base | {name: value} for name in [*schema["properties"], "unknown"] for value in values]
        tried += [{name: base[name] for name in base if name != left} for left in base]
        calls = [request(tool["name"], arguments, id=n) for n, arguments in enumerate(tried)]
        answers: dict[int, Any] = {}
        for start in range(0, len(calls), 100):
            answers |= {a["id"]: a for a in say(web, calls[start : start + 100], project="t03", wait=0)}
        for n, arguments in enumerate(tried):
            refused = answers[n].get("error", {}).get("code") == -32602
            fits = Draft202012Validator(schema).is_valid(arguments)
            # One argument may stand for others: then which are needed is more than a schema says.
            instead = registry.find(tool["name"]).form.instead
            assert refused is not fits or (fits and instead), (tool["name"], arguments)


def test_t04_the_seeds_curl_works_verbatim(platform: Platform) -> None:
    """T04: the example as it was printed, the port apart; by curl itself where there is one."""
    url = f"{platform.url}/jsonrpc"
    if shutil.which("curl"):
        command = [
            "curl",
            "-sS",
            "--noproxy",
            "*",
            "-X",
            "POST",
            url,
            "-H",
            "Content-Type: application/json",
            "-d",
            SEED,
        ]
        said = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60).stdout
    else:
        asked = urllib.request.Request(url, SEED.encode(), JSON_TYPE)
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(asked, timeout=60) as answer:
            said = answer.read().decode()
    answer = json.loads(said)
    assert answer["id"] == 1
    assert answer["result"]["success"] is True
    assert answer["result"]["file_name"] == "test.md"
