"""Who takes part: what to install, and the commands that start two worker processes of each."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.queue_peers.ltmc import HAS_EXECUTORS

ROOT = Path(__file__).parents[2]
AT_ONCE = 20  # jobs that wait, in each worker process, of all systems that can
PACKAGE = "benchmarks.queue_peers"


@dataclass(frozen=True, kw_only=True)
class Contender:
    """A system. In commands, {processes} and {at_once} are filled in."""

    name: str
    module: str
    command: tuple[str, ...]
    waiting: tuple[str, ...] = ()  # for jobs that wait, if that is another command
    requirements: tuple[str, ...] = ()  # none: it runs in this environment
    first_rate: int  # jobs/s, to begin with; then what was measured
    at_once: int = 1  # jobs that wait at a time in a process
    replies: Mapping[str, str] = field(default_factory=dict)  # what it is told where a caller waits for results

    def command_for(self, waits: bool) -> tuple[str, ...]:
        return self.waiting if waits and self.waiting else self.command


def rq_contender(name: str, worker: str, first_rate: int) -> Contender:
    return Contender(
        name=name,
        module="rq",
        requirements=("rq>=2.12,<2.13", "hiredis>=3,<4"),
        command=("rq", "worker", "--quiet", "--url", "{redis}", "--worker-class", worker),
        first_rate=first_rate,
    )


CELERY = (
    *("celery", "-A", f"{PACKAGE}.celery:app", "worker", "-n", "{slot}@bench"),
    *("-l", "ERROR", "--without-gossip", "--without-mingle"),
)
OURS = Contender(
    name="ltmc",
    module="ltmc",
    command=("python", "-m", f"{PACKAGE}.ltmc_worker", "default"),
    first_rate=8000,
    at_once=AT_ONCE if HAS_EXECUTORS else 1,
)
CONTENDERS = (
    OURS,
    rq_contender("rq Worker", "rq.worker.Worker", 60),
    rq_contender("rq SimpleWorker", "rq.worker.SimpleWorker", 400),
    Contender(
        name="celery",
        module="celery",
        requirements=("celery[redis]>=5.6,<6", "hiredis>=3,<4"),
        command=(*CELERY, "-P", "solo"),  # faster than its default, prefork, whose parent hands the jobs on
        waiting=(*CELERY, "-P", "threads", "-c", "{at_once}"),
        first_rate=1500,
        at_once=AT_ONCE,
    ),
    Contender(
        name="dramatiq",
        module="dramatiq",
        requirements=("dramatiq[redis]>=2.1,<3", "hiredis>=3,<4"),
        command=(  # more threads fetch more at once: faster than its default of 8
            *("dramatiq", f"{PACKAGE}.dramatiq"),
            *("--processes", "{processes}", "--threads", "{at_once}"),
        ),
        first_rate=4000,
        at_once=AT_ONCE,
    ),
    Contender(
        name="huey",
        module="huey",
        requirements=("huey>=3.5,<4", "redis>=8,<9", "hiredis>=3,<4"),
        # Two consumers of threads: faster than one of two processes.
        command=("huey_consumer", f"{PACKAGE}.huey.huey", "-q", "-k", "thread", "-w", "{at_once}"),
        first_rate=6000,
        at_once=AT_ONCE,
        replies={"BENCH_REPLIES": "1"},
    ),
    Contender(
        name="saq",
        module="saq",
        requirements=("saq[redis,hiredis]>=0.26,<0.27", "typing-extensions>=4"),
        command=("saq", f"{PACKAGE}.saq.settings", "-q"),
        first_rate=3000,
        at_once=AT_ONCE,
    ),
)


class Environments:
    """A virtual environment for each system, made once under the cache folder."""

    def __init__(self, cache: Path) -> None:
        self._cache = cache

    def folder(self, contender: Contender) -> Path:
        """Where its programs are; installed now if they are not."""
        if not contender.requirements:
            return Path(sys.executable).parent
        home = self._cache / contender.module
        done = home / "installed"
        wanted = "\n".join((sys.version, *contender.requirements))
        if not done.exists() or done.read_text() != wanted:
            print(f"installing {', '.join(contender.requirements)} in {home}", flush=True)
            self._install(home, contender.requirements)
            done.write_text(wanted)
        return home / "bin"

    def _install(self, home: Path, requirements: tuple[str, ...]) -> None:
        shutil.rmtree(home, ignore_errors=True)
        uv, python = Path(sys.executable).with_name("uv"), home / "bin" / "python"
        if uv.exists():
            _run(str(uv), "venv", "--quiet", "--python", sys.executable, str(home))
            _run(str(uv), "pip", "install", "--quiet", "--python", str(python), *requirements)
        else:
            _run(sys.executable, "-m", "venv", str(home))
            _run(str(python), "-m", "pip", "install", "--quiet", *requirements)

    def versions(self, contender: Contender) -> str:
        """The system and its client of Redis, as installed."""
        script = "import importlib.metadata as m, sys; print(', '.join(f'{n} {m.version(n)}' for n in sys.argv[1:]))"
        system = contender.module if contender.requirements else "ltmc-jobs"
        return _run(str(self.folder(contender) / "python"), "-c", script, system, "redis").strip()


def _run(*command: str) -> str:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return done.stdout
