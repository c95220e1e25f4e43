"""rq-dashboard behind our doors: who may open it, what it may not run or show, what it may change."""

from __future__ import annotations

import pickle
import subprocess
import sys
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest

from api import tickets
from ltmc_jobs import client, keys
from ltmc_jobs.queues.contract import JobSpec, JobStatus, new_job_id
from ltmc_jobs.registry import Queue, find
from ltmc_jobs.shared import Shared
from tests.acceptance.conftest import Platform
from tests.acceptance.front import logged, settings_of, web_of
from tests.conftest import wait_until

assert client.tools  # declares them

SAME, CROSS = {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "cross-site"}
UNWORKED = "unworked"  # a queue of the test's own, which no worker serves
MARKUP = "<img src=x onerror=alert(1)>"
# What rq-dashboard does as it comes; the same pages are asked of ours below.
AS_IT_COMES = """
import sys
from flask import Flask
from rq_dashboard import blueprint, web
app = Flask("control")
app.config.from_object("rq_dashboard.default_settings")
app.config["RQ_DASHBOARD_REDIS_URL"] = sys.argv[1]
web.setup_rq_connection(app)
app.register_blueprint(blueprint, url_prefix="/rq")
for path in sys.argv[2:]:
    app.test_client().get(path)
"""


class Planted:
    """Touches a file when it is unpickled."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __reduce__(self) -> Any:
        return Path.touch, (self.file,)


@pytest.fixture(scope="module")
def shared(platform: Platform) -> Iterator[Shared]:
    opened = Shared.open(settings_of(platform))
    yield opened
    opened.close()


@pytest.fixture
def web(platform: Platform) -> Iterator[httpx.Client]:
    """Without a cookie."""
    with web_of(platform.url) as opened:
        yield opened


@pytest.fixture
def opened(web: httpx.Client, shared: Shared) -> httpx.Client:
    """With one."""
    assert web.get("/rq/open", params={"ticket": tickets.issue(shared)}).status_code == 302
    assert web.get("/rq/").status_code == 200
    return web


def plant(shared: Shared, job_id: str, **fields: Any) -> None:
    """A job as a writer to Redis could make it, in a queue that nobody works on."""
    shared.redis.hset(
        f"rq:job:{job_id}",
        mapping={"status": "queued", "origin": UNWORKED, "created_at": "2026-01-01T00:00:00Z", "data": "[]"} | fields,
    )
    shared.redis.sadd("rq:queues", f"rq:queue:{UNWORKED}")
    shared.redis.rpush(f"rq:queue:{UNWORKED}", job_id)


@pytest.fixture
def unworked(shared: Shared) -> Iterator[str]:
    """The id of a job to be planted; everything of it is gone afterwards."""
    job_id = new_job_id()
    yield job_id
    shared.redis.delete(f"rq:job:{job_id}", f"rq:queue:{UNWORKED}")
    shared.redis.srem("rq:queues", f"rq:queue:{UNWORKED}")


def pages(job_id: str) -> list[str]:
    return [
        "/rq/",
        "/rq/0/data/queues.json",
        "/rq/0/data/workers.json",
        f"/rq/0/view/jobs/{UNWORKED}/queued/8/asc/1",
        f"/rq/0/data/jobs/{UNWORKED}/queued/8/asc/1.json",
        f"/rq/0/view/job/{job_id}",
        f"/rq/0/data/job/{job_id}.json",
    ]


def test_closed_without_a_cookie(web: httpx.Client, shared: Shared) -> None:
    """J01: 403 on every path, for no cookie, a made-up one and an expired one; never an error page of the server."""
    signed = shared.keys.sign
    late = str(int(time.time()) - 5)
    soon = str(int(time.time()) + 500)
    kept = soon + "." + signed(b"dashboard " + soon.encode())
    cookies = ["", "x", "²².x", f"{soon}.é", f"{late}.{signed(b'dashboard ' + late.encode())}", soon + kept[10:] + "0"]
    cookies += [f"{int(soon) + 1}{kept[10:]}", f"{soon}.{kept[11:20]}é", f"9{kept}", "9" * 5000]
    for path in (
        *pages(new_job_id()),
        "/rq",
        "/rq/nothing",
        "/rq/static/css/main.css",
        "/rq/open",
        "/rq/open?ticket=x",
    ):
        for cookie in cookies:
            answer = web.get(path, headers={b"Cookie": f"{tickets.COOKIE}={cookie}".encode()}, follow_redirects=True)
            assert answer.status_code == 403, (path, cookie)
            assert "ltmc dashboard" in answer.text
    assert web.get("/rq/", headers={"Cookie": f"{tickets.COOKIE}={kept}"}).status_code == 200, "the forgery was close"
    assert web.post("/rq/requeue/default", headers=SAME).status_code == 403


def test_opened_once_by_the_link(platform: Platform, web: httpx.Client, shared: Shared) -> None:
    """J01: the printed link works once, for ten minutes; a previewer's HEAD does not use it up."""
    link = platform.ltmc("dashboard").stdout.split()
    address = next(word for word in link if "/rq/open?ticket=" in word)
    assert address.startswith(platform.url)
    assert web.head(address).status_code == 405
    first = web.get(address)
    assert (first.status_code, first.headers["location"]) == (302, "/rq/")
    cookie = first.headers["set-cookie"]
    assert all(word in cookie for word in ("HttpOnly", "SameSite=Strict", "Path=/rq"))
    assert web.get("/rq/").status_code == 200
    with web_of(platform.url) as second:
        assert second.get(address).status_code == 403
        assert second.get("/rq/").status_code == 403, "the door is open for the one browser alone"
        ticket = tickets.issue(shared)
        name = keys.key(keys.INSTALLATION, "ticket", sha256(ticket.encode()).hexdigest())  # never the ticket itself
        assert 0 < shared.redis.ttl(name) <= 600
        shared.redis.pexpire(name, 1)
        wait_until(lambda: not shared.redis.exists(name))
        assert second.get("/rq/open", params={"ticket": ticket}).status_code == 403


def test_a_planted_pickle_does_not_run(opened: httpx.Client, shared: Shared, unworked: str, tmp_path: Path) -> None:
    """J01: not in a job's data, result or metadata, on any page; rq-dashboard as it comes does run it."""
    marker = tmp_path / "ran"
    evil = pickle.dumps(Planted(marker))
    plant(shared, unworked, data=evil, result=evil, meta=evil)
    for path in pages(unworked):
        assert opened.get(path).status_code == 200, path
    assert opened.post(f"/rq/job/{unworked}/requeue", headers=SAME).status_code == 404, "it had not failed"
    unreadable = opened.get(f"/rq/0/data/job/{unworked}.json").json()
    assert "not JSON" in unreadable["metadata"]
    assert unreadable["result"] is None
    assert not marker.exists()
    command = [sys.executable, "-c", AS_IT_COMES, shared.settings.redis_address(), *pages(unworked)]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    assert marker.exists(), "else this test proves nothing"


def test_a_jobs_words_are_text_and_no_markup(opened: httpx.Client, shared: Shared, unworked: str) -> None:
    """J01: rq-dashboard puts a job's words into the page as they are; they must come escaped."""
    plant(shared, unworked, description=MARKUP, meta=f'{{"{MARKUP}": ["{MARKUP}"]}}')
    shared.redis.sadd("rq:queues", f"rq:queue:{MARKUP}")
    try:
        shown = opened.get(f"/rq/0/data/job/{unworked}.json").json()
        assert shown["description"] == "&lt;img src=x onerror=alert(1)&gt;"
        for path in ("/rq/0/data/queues.json", "/rq/0/data/workers.json", f"/rq/0/data/job/{unworked}.json", "/rq/"):
            assert MARKUP not in opened.get(path).text, path
        listed = opened.get(f"/rq/0/data/jobs/{UNWORKED}/queued/8/asc/1.json").json()["jobs"]
        assert [job["description"] for job in listed] == [MARKUP], "this page's own script escapes it"
        note = {"file_name": MARKUP, "content": MARKUP}
        stored = opened.post("/tools/store_memory?project=markup&wait=30", json=note).json()
        assert MARKUP not in opened.get(f"/rq/0/data/job/{stored['job_id']}.json").text
    finally:
        shared.redis.srem("rq:queues", f"rq:queue:{MARKUP}")


def failed_job(shared: Shared) -> str:
    """A job of ours that failed for a reason of its own."""
    tool: Any = find("store_memory")
    job_id = shared.queue.enqueue(JobSpec(kind=tool.kind, args={"no_such": 1}, project="dashboard")).id
    assert shared.queue.outcome(job_id, 20).error is not None
    assert shared.queue.status(job_id).attempts == 1
    return job_id


def test_changes_come_from_our_own_pages_alone(opened: httpx.Client, shared: Shared) -> None:
    """J01: with a valid cookie, what another site sends changes nothing, not even by the GET that rq-dashboard has."""
    job_id = failed_job(shared)
    local = opened.base_url.netloc.decode()
    senders: list[dict[str, str]] = [
        CROSS,
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Referer": "http://evil.example/"},
        {"Referer": f"http://{local}.evil.example/rq/"},
        {"Referer": "http://["},
        {},
    ]
    for sender in senders:
        for method, path in (
            ("GET", "/rq/requeue/default"),
            ("POST", "/rq/requeue/default"),
            ("POST", f"/rq/job/{job_id}/requeue"),
            ("POST", f"/rq/job/{job_id}/delete"),
            ("POST", "/rq/queue/default/failed/empty"),
            ("POST", "/rq/queue/default/compact"),
            ("PUT", f"/rq/job/{job_id}/delete"),
        ):
            assert opened.request(method, path, headers=sender).status_code == 403, (sender, path)
    for origin in ("http://evil.example", "null", f"https://{local}.evil.example", "http://["):
        assert opened.post(f"/rq/job/{job_id}/delete", headers={"Origin": origin}).status_code == 403, origin
    info = shared.queue.status(job_id)
    assert (info.status, info.attempts) == (JobStatus.FAILED, 1)


def test_a_failed_job_is_requeued_and_runs_again(opened: httpx.Client, shared: Shared) -> None:
    """J01: one job by its button, then a queue's failed jobs by theirs; each is carried out a second time."""
    job_id = failed_job(shared)
    assert opened.post(f"/rq/job/{job_id}/requeue", headers=SAME).json() == {"status": "OK"}
    wait_until(lambda: shared.queue.status(job_id).attempts == 2, 20)
    wait_until(lambda: shared.queue.status(job_id).status == JobStatus.FAILED)
    origin = {"Origin": str(opened.base_url).rstrip("/")}
    assert opened.get("/rq/requeue/default", headers=SAME).json()["count"] >= 1
    wait_until(lambda: shared.queue.status(job_id).attempts == 3, 20)
    wait_until(lambda: shared.queue.status(job_id).status == JobStatus.FAILED)
    assert opened.post(f"/rq/job/{job_id}/delete", headers=origin).json() == {"status": "OK"}
    assert not shared.redis.exists(f"rq:job:{job_id}")


def test_headers_and_no_password(platform: Platform, opened: httpx.Client, shared: Shared) -> None:
    """J01, X13: not to be framed, each answer with an id that the log has for refusals; no page has the password."""
    page = opened.get("/rq/", headers={"X-Request-ID": "dash-1"})
    assert page.headers["x-frame-options"] == "DENY"
    assert "frame-ancestors 'none'" in page.headers["content-security-policy"]
    assert "default-src 'self'" in page.headers["content-security-policy"]
    assert page.headers["referrer-policy"] == "same-origin"
    for name in ("x-content-type-options", "date", "content-security-policy", "x-frame-options"):
        assert len(page.headers.get_list(name)) == 1, name
    assert page.headers["x-request-id"] == "dash-1"
    refused = opened.post("/rq/requeue/default", headers=CROSS | {"X-Request-ID": "dash-2"})
    assert refused.headers["x-request-id"] == "dash-2"
    assert any(line.get("request_id") == "dash-2" for line in logged(platform.home))
    secret = (platform.home / "redis" / "password").read_text().strip()
    for path in [*pages(failed_job(shared)), "/rq/0/view/workers", "/rq/0/view/jobs"]:
        assert secret not in opened.get(path).text, path


def test_rqs_own_monitor_sees_our_queues(shared: Shared) -> None:
    """J01: `rq info` with the JSON serializer shows each of our queues and workers."""
    failed_job(shared)
    command = [str(Path(sys.executable).with_name("rq")), "info", "--raw", "--serializer", "json"]
    done = subprocess.run(
        [*command, "--url", shared.settings.redis_address()], capture_output=True, text=True, timeout=60, check=True
    )
    words = done.stdout.split()
    names: Any = shared.redis.smembers("rq:queues")
    known = {name.decode().removeprefix("rq:queue:") for name in names}
    assert {"default", "maintenance"} <= known & {queue.value for queue in Queue}
    assert known <= set(words)
    assert any(".default." in word for word in words), "its workers by name"
