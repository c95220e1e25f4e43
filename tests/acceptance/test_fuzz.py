"""What nobody would send, sent: made from our own OpenAPI page, and from each tool's schema and around it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import httpx
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from jsonschema import Draft202012Validator
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import negative_data_rejection, positive_data_acceptance

from ltmc_jobs import client, registry
from ltmc_jobs.form import Form
from tests.acceptance.conftest import Platform
from tests.acceptance.front import LEAKS, samples, web_of
from tests.arguments import Arguments
from tests.conftest import wait_until

assert client.tools  # declares them

BATCH = 100  # calls of one JSON-RPC request
REFUSED = -32602
TYPED = {REFUSED, -32002, -32003, -32004, -32009}  # refused, not found, conflict, away or switched off, no model
AWAY = {"disabled", "no_model"}  # a model or a server that this platform does not have
FORMS = list(registry.forms())


@pytest.fixture(scope="module")
def web(platform: Platform) -> Iterator[httpx.Client]:
    with web_of(platform.url) as opened:
        yield opened


def operations(web: httpx.Client) -> Iterator[Any]:
    """Every route and method of the page that describes them."""
    schema = schemathesis.openapi.from_dict(web.get("/openapi.json").json())
    schema.config.update(base_url=str(web.base_url))
    for found in schema.get_all_operations():
        yield found.ok()


def attack(web: httpx.Client, examples: int, *, derandomize: bool) -> int:
    """Send to every route what the page admits and what it does not, and hold the answers to the page; how many."""
    chosen = settings(
        max_examples=examples,
        deadline=None,
        database=None,
        derandomize=derandomize,
        phases=(Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    with requests.Session() as session:
        session.trust_env = False
        return sum(send(operation, mode, session, chosen) for operation in operations(web) for mode in GenerationMode)


def send(operation: Any, mode: GenerationMode, session: requests.Session, chosen: settings) -> int:
    """One route's part of it."""
    sent, admitted = 0, mode == GenerationMode.POSITIVE
    # Arguments may be at odds with each other, and a part may be away: both are looked at below.
    excluded: list[Any] = [positive_data_acceptance, not_a_server_error]
    if operation.path == "/jsonrpc":
        excluded.append(negative_data_rejection)  # refuses with 200, as its specification has it

    @chosen
    @given(case=operation.as_strategy(generation_mode=mode))
    def call(case: Any) -> None:
        nonlocal sent
        sent += 1
        answer = case.call_and_validate(session=session, excluded_checks=excluded)
        assert answer.status_code < 500 or answer.json()["error"]["code"] in AWAY, answer.text
        assert answer.status_code < 400 or LEAKS.search(answer.text) is None, answer.text
        if admitted and answer.status_code == 422:
            assert answer.json()["error"]["details"]["field"], answer.text

    try:
        call()
    except Unsatisfiable:
        assert not admitted, operation.label  # where nothing can be said, nothing wrong can be
    return sent


def test_x07_the_api_is_what_its_page_says(web: httpx.Client) -> None:
    """X07: no 5xx; every answer has a status, a type and a form that the page names; what it excludes is refused."""
    assert attack(web, 3, derandomize=True) > 150


@pytest.mark.slow
@pytest.mark.timeout(3600)
def test_x07_the_api_is_what_its_page_says_for_long(web: httpx.Client) -> None:
    """X07: the same with other requests each time."""
    assert attack(web, 200, derandomize=False) > 5000


def call_all(web: httpx.Client, name: str, given: list[Any]) -> list[dict[str, Any]]:
    """The answers to calls of one tool, in their order; of jobs that go on, how they end."""
    batch = [_call(number, name, arguments) for number, arguments in enumerate(given)]
    response = web.post("/jsonrpc", json=batch, params={"project": f"fuzz-{name}".replace("_", "-")})
    assert response.status_code == 200, response.text[:500]
    found = {answer["id"]: answer for answer in response.json()}
    for number, answer in found.items():
        while "job" in answer.get("result", {}):
            again = _call(number, "job_result", {"job_id": answer["result"]["job_id"], "wait_seconds": 45})
            answer = web.post("/jsonrpc", json=again, params=response.request.url.params).json()
        found[number] = answer
    return [found[number] for number in range(len(given))]


def _call(number: int, name: str, arguments: Any) -> dict[str, Any]:
    meta = {"ltmc/wait": 20}
    params = {"name": name, "arguments": arguments, "_meta": meta}
    return {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params}


def check(form: Form, validator: Draft202012Validator, arguments: Any, answer: dict[str, Any]) -> bool:
    """Hold an answer to what the published schema says of the arguments; whether it lets them through."""
    shown = f"{form.name}({str(arguments)[:300]}): {str(answer)[:600]}"
    fits = validator.is_valid({} if arguments is None else form.named(arguments))
    error = answer.get("error")
    if not fits:
        assert error is not None, shown
        assert error["code"] == REFUSED, shown
        assert "field" in error["data"]["details"], shown
    elif error is not None:
        assert error["code"] in TYPED, shown
        assert error["code"] != -32004 or error["data"]["code"] in AWAY, shown
    else:
        assert answer["result"]["success"] is True, shown
    assert error is None or LEAKS.search(error["message"].replace(str(arguments), "")) is None, shown
    return fits


def runs(web: httpx.Client) -> Counter[str]:
    """How often workers have run each tool."""
    found = Counter[str]()
    for (metric, labels), value in samples(web).items():
        if metric == "ltmc_job_run_seconds_count":
            found[labels[0]] += int(value)  # of each queue that it ran in
    return found


def fuzz(web: httpx.Client, forms: Sequence[Form], count: int) -> None:
    """Call tools with so many generated arguments each; only what fits its schema reaches a worker."""
    before, fitting, ended = runs(web), Counter[str](), Counter[str]()
    for form in forms:
        validator, made = Draft202012Validator(form.input_schema), Arguments(form.input_schema, seed=7)
        jobs = set()
        for start in range(0, count, BATCH):
            given = [made.make() for _ in range(min(BATCH, count - start))]
            for arguments, answer in zip(given, call_all(web, form.name, given), strict=True):
                fitting[form.name] += check(form, validator, arguments, answer)
                if "result" in answer and not answer["result"].get("cached"):
                    jobs.add(answer["result"].get("job_id"))
        if isinstance(registry.find(form.name), registry.Tool):
            ended[form.name] = len(jobs)
    told = f"the workers have told what they ran: {ended}"
    wait_until(lambda: ended <= runs(web) - before, 20, told)
    ran = runs(web) - before
    assert {name: ran[name] for name in ended if ran[name] > fitting[name]} == {}, "more runs than calls that fit"


def test_x07_only_what_fits_reaches_a_tool(web: httpx.Client) -> None:
    """X07: no 5xx, nothing unforeseen, a refusal names the field, and no worker runs what the schema does not admit."""
    fuzz(web, FORMS, 20)


@pytest.mark.slow
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("form", FORMS, ids=lambda form: form.name)
def test_x07_only_what_fits_reaches_a_tool_ten_thousand_times(web: httpx.Client, form: Form) -> None:
    """X07: 10,000 generated arguments a tool."""
    fuzz(web, [form], 10_000)
