"""JSON-RPC 2.0 over HTTP, held to its specification by a running platform."""

from __future__ import annotations

import json
from typing import Any

import httpx
import pytest

from tests.acceptance.conftest import Platform
from tests.acceptance.front import logged, redis_of
from tests.conftest import wait_until

NO_SUCH_JOB = "01a1fd74-0000-7000-8000-000000000000"
IDS: list[Any] = ["a", "", "ünïcode \U0001f600", 0, -7, 2**63, 1.5, 1e300, None]
JSON_TYPE = {"Content-Type": "application/json"}


@pytest.fixture(scope="module")
def web(two_fronts: httpx.Client) -> httpx.Client:
    """T20: the whole suite passes with two front ends."""
    return two_fronts


def say(web: httpx.Client, body: Any, **query: object) -> Any:
    """The answer to a body, JSON or raw; None when there is none."""
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    answer = web.post("/jsonrpc", content=content, headers=JSON_TYPE, params={k: str(v) for k, v in query.items()})
    if answer.status_code == 204:
        assert answer.content == b""
        return None
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    return answer.json()


def request(method: str, params: Any = None, id: Any = 1) -> dict[str, Any]:
    return {"jsonrpc": "2.0", "id": id, "method": method} | ({} if params is None else {"params": params})


def check_form(answer: dict[str, Any]) -> None:
    """A response object has the version, its id, and exactly one of result and error."""
    assert answer["jsonrpc"] == "2.0"
    assert set(answer) in ({"jsonrpc", "id", "result"}, {"jsonrpc", "id", "error"})
    if "error" in answer:
        assert set(answer["error"]) == {"code", "message", "data"}
        assert isinstance(answer["error"]["code"], int)
        assert answer["error"]["data"]["id"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[1,",
        b'{"jsonrpc": "2.0", "id": 1, "method": "tools/list"',
        b"nonsense",
        b'{"jsonrpc":"2.0","id":NaN,"method":"tools/list"}',
        b'{"jsonrpc":"2.0","id":1e999,"method":"tools/list"}',
        b'{"jsonrpc":"2.0","id":"\\ud800","method":"tools/list"}',
        b'{"jsonrpc":"2.0","id":1,"method":"tools/list","params":{"\\udfff":1}}',
        b'{"jsonrpc":"2.0","id":"\xff","method":"tools/list"}',
        '{"jsonrpc":"2.0","id":1,"method":"tools/list"}'.encode("utf-16"),
        b"[" * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b'{"jsonrpc":"2.0","id":1,"method":"tools/list","params":' + b'{"a":' * 200 + b"1" + b"}" * 200 + b"}",
        b"[" + b"[]," * 300_000 + b"[]]",
    ],
)
def test_t02_what_is_no_json_is_a_parse_error(web: httpx.Client, body: bytes) -> None:
    """T02: −32700 with id null for malformed JSON, also for text, numbers and nesting that cannot be carried on."""
    answer = say(web, body)
    check_form(answer)
    assert (answer["error"]["code"], answer["id"]) == (-32700, None)


def test_t02_a_byte_order_mark_is_ignored(web: httpx.Client) -> None:
    """T02: as RFC 8259 lets a parser do, for files that other systems write."""
    assert "result" in say(web, b"\xef\xbb\xbf" + json.dumps(request("tools/list")).encode())


@pytest.mark.parametrize(
    ("body", "id"),
    [
        ({"jsonrpc": "1.0", "id": 1, "method": "tools/list"}, 1),
        ({"id": "x", "method": "tools/list"}, "x"),
        ({"jsonrpc": 2.0, "id": 1, "method": "tools/list"}, 1),
        ({"jsonrpc": "2.0", "id": 1}, 1),
        ({"jsonrpc": "2.0", "id": 1, "method": 1}, 1),
        ({"jsonrpc": "2.0", "method": ["tools/list"]}, None),
        ({"jsonrpc": "2.0", "id": True, "method": "tools/list"}, None),
        ({"jsonrpc": "2.0", "id": {}, "method": "tools/list"}, None),
        ({"jsonrpc": "2.0", "id": [1], "method": "tools/list"}, None),
        ({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": "bar"}, 1),
        ({"jsonrpc": "2.0", "id": 1, "method": "tools/list", "params": None}, 1),
        ({}, None),
        ("text", None),
        (17, None),
        (None, None),
        ([], None),
        ([request("tools/list")] * 101, None),
    ],
)
def test_t02_what_is_no_request_is_an_invalid_request(web: httpx.Client, body: Any, id: Any) -> None:
    """T02: −32600 for a wrong version or shape, an empty batch and one too long; the id where it can be told."""
    answer = say(web, body)
    check_form(answer)
    assert (answer["error"]["code"], answer["id"]) == (-32600, id)


@pytest.mark.parametrize(
    "method", ["nothing", "", "tools/nothing", "Tools/List", "rpc.discover", "__class__", "x" * 9000]
)
def test_t02_an_unknown_method_is_said_to_be_unknown(web: httpx.Client, method: str) -> None:
    """T02: −32601."""
    answer = say(web, request(method))
    check_form(answer)
    assert answer["error"]["code"] == -32601


@pytest.mark.parametrize(
    ("method", "params", "field"),
    [
        ("store_memory", {"content": "x"}, "file_name"),
        ("store_memory", {"file_name": "x"}, "content"),
        ("store_memory", {"file_name": 1, "content": "x"}, "file_name"),
        ("store_memory", {"file_name": "", "content": "x"}, "file_name"),
        ("store_memory", {"file_name": "x", "content": "x", "wait_for": "never"}, "wait_for"),
        ("store_memory", {"file_name": "x", "content": "x", "colour": "red"}, "colour"),
        ("store_memory", ["x", "y"], "params"),
        ("retrieve_memory", {"query": "x", "top_k": 0}, "top_k"),
        ("retrieve_memory", {"query": "x", "top_k": 1.5}, "top_k"),
        ("retrieve_memory", {"query": "x" * 8193}, "query"),
        ("job_status", {"job_id": "../x"}, "job_id"),
        ("tools/call", {"name": "store_memory", "arguments": {"content": "x"}}, "file_name"),
        ("tools/call", {"name": "store_memory", "arguments": [1]}, ""),
        ("tools/call", {"name": "nothing"}, "params.name"),
        ("tools/call", {"name": ["x"]}, "params.name"),
        ("tools/call", {}, "params.name"),
        ("tools/call", {"name": "job_list", "_meta": {"ltmc/wait": "long"}}, "_meta.ltmc/wait"),
        ("tools/call", {"name": "job_list", "_meta": {"ltmc/wait": 46}}, "_meta.ltmc/wait"),
    ],
)
def test_t02_t06_wrong_arguments_name_the_field(web: httpx.Client, method: str, params: Any, field: str) -> None:
    """T02, T06: −32602, the field by name, before any job is made."""
    answer = say(web, request(method, params), project="t02-arguments")
    check_form(answer)
    assert answer["error"]["code"] == -32602
    assert answer["error"]["data"]["details"]["field"] == field
    assert say(web, request("job_list"), project="t02-arguments")["result"]["count"] == 0


def test_t02_an_error_of_ours_is_internal_and_says_nothing(platform: Platform, web: httpx.Client) -> None:
    """T02: −32603 when Redis holds what it should not, with an id that leads to the cause in the log."""
    with redis_of(platform) as connection:
        connection.set(f"rq:job:{NO_SUCH_JOB}", "no hash at all")
        answer = say(web, request("job_status", {"job_id": NO_SUCH_JOB}))
        connection.delete(f"rq:job:{NO_SUCH_JOB}")
    check_form(answer)
    assert answer["error"]["code"] == -32603
    assert not any(word in json.dumps(answer) for word in ("WRONGTYPE", "redis", "Traceback", "rq:job"))
    line = next(line for line in logged(platform.home) if line.get("request_id") == answer["error"]["data"]["id"])
    assert "WRONGTYPE" in line["exception"]


@pytest.mark.parametrize("id", IDS)
def test_t02_the_id_comes_back_as_it_was(web: httpx.Client, id: Any) -> None:
    """T02: strings, numbers and null, with their type, in results and in errors."""
    for asked in (request("tools/list", id=id), request("nothing", id=id)):
        answer = say(web, asked)
        check_form(answer)
        assert (answer["id"], type(answer["id"])) == (id, type(id))


def test_t02_a_notification_has_no_answer_and_is_carried_out(web: httpx.Client) -> None:
    """T02: no body, whatever becomes of it; and the call is really made."""
    call = {"jsonrpc": "2.0", "method": "store_memory", "params": {"file_name": "told.md", "content": "Told once."}}
    assert say(web, call, project="t02-notified") is None
    for wrong in (
        {"method": "nothing"},
        {"method": "store_memory", "params": {}},
        {"method": "job_list", "params": [1]},
    ):
        assert say(web, {"jsonrpc": "2.0"} | wrong) is None

    def done() -> Any:
        listed = say(web, request("job_list", {"status": "finished"}), project="t02-notified")["result"]["jobs"]
        return [job for job in listed if job["name"] == "store_memory"]

    assert len(wait_until(done, 30)) == 1


def test_t02_a_batch_is_answered_one_by_one(web: httpx.Client) -> None:
    """T02: mixed with notifications, with what is no request, nested; in any order, matched by id; none for none."""
    batch = [
        request("tools/list", id="list"),
        {"jsonrpc": "2.0", "method": "tools/list"},
        request("nothing", id="unknown"),
        request("store_memory", {"content": "x"}, id="arguments"),
        1,
        [request("tools/list", id="nested")],
        {"jsonrpc": "2.0", "id": "version"},
    ]
    answers = say(web, batch)
    for answer in answers:
        check_form(answer)
    found = [(answer["id"], answer.get("error", {}).get("code")) for answer in answers]
    assert sorted(found, key=str) == sorted(
        [
            ("list", None),
            ("unknown", -32601),
            ("arguments", -32602),
            (None, -32600),
            (None, -32600),
            ("version", -32600),
        ],
        key=str,
    )
    assert say(web, [{"jsonrpc": "2.0", "method": "tools/list"}] * 3) is None
    assert len(say(web, [request("tools/list", id=n) for n in range(100)])) == 100


def test_t02_a_tool_is_called_by_its_name_or_by_tools_call(web: httpx.Client) -> None:
    """T02, T04: both ways give the same; the wait may stand in _meta or in the address, 0 gives the handle."""
    arguments = {"file_name": "both.md", "content": "Said in two ways."}
    named = say(web, request("store_memory", arguments), project="t02-one")["result"]
    called = say(web, request("tools/call", {"name": "store_memory", "arguments": arguments}), project="t02-two")[
        "result"
    ]
    assert set(named) == set(called)
    assert (named["success"], named["file_name"], named["version"]) == (True, "both.md", 1)
    meta = {"name": "store_memory", "arguments": arguments | {"file_name": "meta.md"}, "_meta": {"ltmc/wait": 0}}
    for handle in (
        say(web, request("tools/call", meta), project="t02-one", wait=30)["result"],
        say(web, request("store_memory", arguments | {"file_name": "wait.md"}), project="t02-one", wait=0)["result"],
    ):
        assert (handle["success"], handle["job"]["tool"]) == (True, "store_memory")
        result = say(web, request("job_result", {"job_id": handle["job_id"]}), project="t02-one")["result"]
        assert result["version"] == 1
    for wrong in ({"wait": "soon"}, {"wait": "-1"}, {"project": "no/such"}):
        answer = say(web, request("store_memory", arguments, id="seven"), **wrong)
        assert (answer["id"], answer["error"]["data"]["details"]["field"]) == ("seven", next(iter(wrong)))
