"""Isolated processes: what a job may do to its own child, and to nobody else."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ltmc_jobs.errors import (
    ChildDied,
    Conflict,
    EnvelopeRefused,
    JobCancelled,
    JobFailed,
    JobLost,
    JobTimeout,
    Misconfigured,
)
from ltmc_jobs.queues.claims import Ending, Run, as_result
from ltmc_jobs.queues.contract import JobSpec
from ltmc_jobs.queues.envelope import Keyring, seal
from ltmc_jobs.queues.isolation.isolated import IsolatedProcess
from ltmc_jobs.registry import JobKind
from ltmc_jobs.settings import Settings
from tests.conftest import clean_environment, wait_until
from tests.fleet import ROOT, open_installation
from tests.waiting import gone
from tests.workers import isolated_kinds as kinds
from workers import journal


class Jobs:
    """Sealed jobs for one isolated process."""

    def __init__(self, settings: Settings, **options: Any) -> None:
        self._keys = Keyring.load(settings)
        environment = clean_environment(settings.home, REDIS_URL=settings.redis_address(), PYTHONPATH=ROOT)
        self.process = IsolatedProcess(modules=[kinds.MODULE], environment=environment, **options)

    def envelope(self, kind: JobKind, **args: Any) -> tuple[dict[str, Any], str]:
        spec = JobSpec(kind=kind, args=args, project="default")
        return json.loads(seal(spec, self._keys)), spec.id

    def run(self, kind: JobKind, *, seconds: float = 30, tell: Any = None, **args: Any) -> Any:
        envelope, job_id = self.envelope(kind, **args)
        return self.process.run(envelope, job_id, 1, seconds, tell or (lambda _told: None))


MakeJobs = Callable[..., Jobs]


@pytest.fixture
def make_jobs(settings: Settings) -> Iterator[MakeJobs]:
    open_installation(settings).close()
    made: list[Jobs] = []

    def make(**options: Any) -> Jobs:
        made.append(Jobs(settings, **options))
        return made[-1]

    yield make
    for jobs in made:
        jobs.process.close()


@pytest.fixture
def jobs(make_jobs: MakeJobs) -> Jobs:
    return make_jobs()


def test_a_child_stays_warm_and_answers_in_milliseconds(jobs: Jobs) -> None:
    first = jobs.run(kinds.GIVE_PID, text="ünï", number=1.5)
    assert first["given"] == {"text": "ünï", "number": 1.5}
    assert (first["attempt"], first["project"]) == (1, "default")
    assert first["pid"] == jobs.process.pid != os.getpid()
    started = time.monotonic()
    assert {jobs.run(kinds.GIVE_PID)["pid"] for _ in range(20)} == {first["pid"]}
    assert (time.monotonic() - started) / 20 < 0.1


def test_a_large_document_passes(jobs: Jobs) -> None:
    text = "long " * 2_000_000
    assert jobs.run(kinds.GIVE_PID, text=text)["given"] == {"text": text}


def test_what_a_job_says_is_told_while_it_runs(jobs: Jobs) -> None:
    told: list[dict[str, Any]] = []
    result = jobs.run(kinds.TALK, tell=told.append, seconds=20)
    assert told == [{"progress": {"done": 1, "total": 3, "message": "one of three"}}, {"log": "a line"}]
    assert 15 < result["left"] <= 20
    assert result["cancelled"] is False


def test_the_end_is_in_the_journal_before_the_worker_hears_it(jobs: Jobs, tmp_path: Path) -> None:
    """A worker that dies in between has not lost it, and one that tells it too has told it once."""
    notes = journal.Journal(tmp_path, "worker")
    for kind in (kinds.GIVE_PID, kinds.CONFLICT):
        envelope, job_id = jobs.envelope(kind)
        notes.begin(f"{job_id}:first")
        more = {"journal": str(notes.file), "execution": "first", "server_offset": 1000.0}
        with suppress(Conflict):
            result = jobs.process.run(envelope, job_id, 1, 10, more=more)
            told = Run(job_id, "first", Ending.DONE, as_result(result))
            (found,) = journal.read(notes.file).ended
            assert found[:4] == told[:4]
            assert 0 <= found.ended_at - found.started_at < 5
            notes.end(told)
    entries = journal.read(notes.file)
    assert entries.ended == [told]
    assert entries.begun == {f"{job_id}:first"}, "what failed is for the worker to judge"
    notes.close()
    journal.tell_end(str(notes.file), told)
    assert not notes.file.exists()


def test_errors_keep_their_type_and_the_child_lives_on(jobs: Jobs) -> None:
    pid = jobs.run(kinds.GIVE_PID)["pid"]
    with pytest.raises(Conflict, match="does not fit") as caught:
        jobs.run(kinds.CONFLICT)
    assert caught.value.details == {"thing": "door"}
    assert "in conflict" in "".join(caught.value.__notes__)
    for kind in (kinds.LEAVE, kinds.GIVE_A_SET):
        with pytest.raises(JobFailed, match="its id leads to the cause"):
            jobs.run(kind)
    assert jobs.run(kinds.GIVE_PID)["pid"] == pid


def test_a_child_verifies_by_itself(jobs: Jobs) -> None:
    envelope, job_id = jobs.envelope(kinds.GIVE_PID, text="asked")
    with pytest.raises(EnvelopeRefused, match="signature"):
        jobs.process.run(envelope | {"args": {"text": "forged"}}, job_id, 1, 10)
    with pytest.raises(EnvelopeRefused, match="another job"):
        jobs.process.run(envelope, "another", 1, 10)
    assert jobs.process.run(envelope, job_id, 2, 10)["attempt"] == 2


def test_a_hanging_job_is_killed_with_all_it_started(jobs: Jobs, tmp_path: Path) -> None:
    before = jobs.run(kinds.GIVE_PID)["pid"]
    started = time.monotonic()
    with pytest.raises(JobTimeout, match="after 1 seconds"):
        jobs.run(kinds.HANG, seconds=1, file=str(tmp_path / "pids"))
    assert time.monotonic() - started < 3
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    assert pids[0] == before
    wait_until(lambda: all(gone(pid) for pid in pids), 2)
    assert jobs.run(kinds.GIVE_PID)["pid"] != before


def test_a_running_job_is_cancelled_within_two_seconds(jobs: Jobs, tmp_path: Path) -> None:
    jobs.run(kinds.GIVE_PID)
    file = tmp_path / "pids"
    assert jobs.process.cancel() is False
    ended: list[tuple[type[BaseException], float]] = []

    def run() -> None:
        try:
            jobs.run(kinds.HANG, file=str(file))
        except JobCancelled as error:
            ended.append((type(error), time.monotonic()))

    thread = threading.Thread(target=run)
    thread.start()
    wait_until(lambda: file.exists() and file.read_text(), 10)
    asked = time.monotonic()
    assert jobs.process.cancel() is True
    thread.join(10)
    assert [kind for kind, _ in ended] == [JobCancelled]
    assert ended[0][1] - asked < 2
    assert jobs.run(kinds.GIVE_PID)["attempt"] == 1


def test_a_crash_says_what_happened_and_harms_nobody(jobs: Jobs) -> None:
    with pytest.raises(ChildDied) as caught:
        jobs.run(kinds.CRASH)
    assert caught.value.details["signal"] == "SIGSEGV"
    assert caught.value.details["exit_code"] == -signal.SIGSEGV
    assert "the last words" in caught.value.details["last_lines"]
    assert isinstance(caught.value, JobLost)
    shown = caught.value.as_dict()
    assert (shown["code"], "last_lines" in shown["details"]) == ("child_died", False)
    with pytest.raises(ChildDied) as caught:
        jobs.run(kinds.BE_KILLED)
    assert caught.value.details["signal"] == "SIGKILL"
    assert caught.value.details["peak_rss_bytes"] > 200 << 20
    assert jobs.run(kinds.GIVE_PID)["attempt"] == 1


def test_a_child_that_dies_with_nothing_to_do_is_replaced(jobs: Jobs) -> None:
    for _ in range(5):
        pid = jobs.run(kinds.GIVE_PID, seconds=1e9)["pid"]
        os.kill(pid, signal.SIGKILL)  # at once, so that nobody has noticed yet
        assert jobs.run(kinds.GIVE_PID)["pid"] != pid


def test_a_child_is_replaced_after_its_jobs_or_when_it_grew(make_jobs: MakeJobs) -> None:
    few = make_jobs(jobs_per_child=2)
    pids = [few.run(kinds.GIVE_PID)["pid"] for _ in range(4)]
    assert [pids[0] == pids[1], pids[1] == pids[2], pids[2] == pids[3]] == [True, False, True]
    small = make_jobs(growth_bytes=50 << 20)
    kept = [small.run(kinds.KEEP, megabytes=size)["pid"] for size in (1, 60, 1)]
    assert [kept[0] == kept[1], kept[1] == kept[2]] == [True, False]
    wait_until(lambda: gone(kept[0]), 5)


def test_a_child_that_cannot_start_says_why(make_jobs: MakeJobs, settings: Settings, tmp_path: Path) -> None:
    jobs = make_jobs()
    (settings.home / "signing.key").unlink()
    with pytest.raises(Misconfigured, match="no signing key"):
        jobs.run(kinds.GIVE_PID)


@pytest.mark.parametrize("busy", [False, True])
def test_a_child_dies_with_its_starter(settings: Settings, tmp_path: Path, busy: bool) -> None:
    open_installation(settings).close()
    file = tmp_path / "pids"
    environment = clean_environment(settings.home, REDIS_URL=settings.redis_address(), PYTHONPATH=ROOT)
    starter = subprocess.Popen(
        [sys.executable, "-m", "tests.workers.test_isolated", str(file), str(int(busy))], env=environment, cwd=ROOT
    )
    wait_until(lambda: file.exists() and file.read_text(), 20)
    child = int(file.read_text().split()[0])
    starter.kill()
    starter.wait(10)
    wait_until(lambda: gone(child), 2)
    for pid in file.read_text().split()[1:]:
        os.kill(int(pid), signal.SIGKILL)


if __name__ == "__main__":
    starting = Jobs(Settings.load())
    if sys.argv[2] == "1":
        starting.run(kinds.HANG, file=sys.argv[1])
    Path(sys.argv[1]).write_text(str(starting.run(kinds.GIVE_PID)["pid"]))
    time.sleep(60)
