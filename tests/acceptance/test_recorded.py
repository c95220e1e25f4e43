"""What older clients send, sent again: `recorded/*.json`, one file a released version.

An exchange has a request, and of its answer what was documented then: a value, `<int>` (or str, bool, number, list,
dict, any) for a type, a list of one for what each of its items is. `$name` stands for what was kept of one before.
`differs` says where the answer is another on purpose.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from api import tool_groups
from ltmc_jobs import client, registry
from tests.acceptance.conftest import Platform
from tests.acceptance.front import web_of

assert client.tools  # declares them

RECORDED = sorted((Path(__file__).parent / "recorded").glob("*.json"))
TYPES: dict[str, Any] = {"int": int, "str": str, "bool": bool, "number": (int, float), "list": list, "dict": dict}


def filled(part: Any, kept: dict[str, Any]) -> Any:
    """With what was kept in the places of the names."""
    if isinstance(part, dict):
        return {name: filled(value, kept) for name, value in part.items()}
    if isinstance(part, list):
        return [filled(value, kept) for value in part]
    if isinstance(part, str) and part.startswith("$"):
        return kept[part[1:]]
    return part


def mismatch(wanted: Any, found: Any, where: str = "") -> str | None:
    """Where an answer is not what was documented; None where it is."""
    if isinstance(wanted, str) and wanted.startswith("<"):
        name = wanted.strip("<>")
        is_type = name == "any" or (isinstance(found, TYPES[name]) and (name == "bool" or not isinstance(found, bool)))
        return None if is_type else f"{where}: {found!r} is no {name}"
    if isinstance(wanted, dict) and isinstance(found, dict):
        missing = [name for name in wanted if name not in found]
        if missing:
            return f"{where}: without {missing}"
        return next((said for name in wanted if (said := mismatch(wanted[name], found[name], f"{where}.{name}"))), None)
    if isinstance(wanted, list) and isinstance(found, list) and len(wanted) == 1:
        if not found:
            return f"{where}: nothing in it"
        return next((said for at, one in enumerate(found) if (said := mismatch(wanted[0], one, f"{where}.{at}"))), None)
    return None if wanted == found else f"{where}: {found!r}, and not {wanted!r}"


def picked(answer: Any, path: str) -> Any:
    """The part of an answer that a path names."""
    for step in path.split("."):
        answer = answer[int(step)] if isinstance(answer, list) else answer[step]
    return answer


@pytest.mark.parametrize("file", RECORDED, ids=lambda file: file.stem)
def test_t19_what_older_clients_send_is_still_answered(platform: Platform, file: Path) -> None:
    """T19, Q05: every recorded request, in its order, matched on the fields that were documented then."""
    kept: dict[str, Any] = {}
    wrong: list[str] = []
    with web_of(platform.url, headers={"X-LTMC-Project": f"recorded-{file.stem}"}) as web:
        for exchange in json.loads(file.read_text())["exchanges"]:
            answer = replay(web, exchange, kept)
            said = mismatch(filled(exchange["answer"], kept), answer)
            if said is not None:
                wrong.append(f"{json.dumps(exchange.get('body', exchange['path']))}: {said}: {str(answer)[:400]}")
                continue
            kept |= {name: picked(answer, path) for name, path in exchange.get("keep", {}).items()}
    assert not wrong, "\n".join(wrong)


def replay(web: httpx.Client, exchange: dict[str, Any], kept: dict[str, Any]) -> Any:
    """The answer to an exchange's request, with the status that it had."""
    path = exchange["path"]
    for name, value in kept.items():
        path = path.replace(f"${name}", str(value))
    body = {"json": filled(exchange["body"], kept)} if "body" in exchange else {}
    response = web.request(exchange["method"], path, **body)
    assert response.status_code == exchange.get("status", 200), (exchange, response.text)
    return response.json()


def test_q05_every_tool_of_each_version_is_among_them() -> None:
    """Q05: all 25 of the one, all 28 of the other, under the names that they had."""
    asked = {}
    for file in RECORDED:
        bodies = [exchange.get("body", {}) for exchange in json.loads(file.read_text())["exchanges"]]
        asked[file.stem] = {body["params"]["name"] for body in bodies if body.get("method") == "tools/call"}
    assert {registry.find(name).form.name for name in asked["62a5213"]} == set(tool_groups.CORE)
    assert asked["f1c89f1"] == {*tool_groups.CORE, *tool_groups.CACHE}


def test_a_difference_is_found() -> None:
    """The matcher itself: a type, a value, a field or an item that is another."""
    assert mismatch({"a": "<int>", "b": [{"c": "<str>"}]}, {"a": 1, "b": [{"c": "x"}], "more": None}) is None
    for wanted, found in (
        ({"a": "<int>"}, {"a": True}),
        ({"a": "<int>"}, {"a": "1"}),
        ({"a": 1}, {}),
        ([{"c": 1}], []),
        ([{"c": 1}], [{"c": 1}, {"c": 2}]),
        ("<bool>", 1),
        (1, 2),
    ):
        assert mismatch(wanted, found) is not None, (wanted, found)
