"""The same jobs through stock RQ 2.12 and through ours: two sides of one server, each in a database of its own."""

from __future__ import annotations

import subprocess
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

import rq
from redis import Redis
from rq.job import Job
from rq.serializers import JSONSerializer

from ltmc_jobs.queues.for_rq.queue import Queue
from ltmc_jobs.settings import Settings
from ltmc_jobs.shared import Shared
from tests.compatibility import kinds, plain
from tests.conftest import clean_environment
from tests.fleet import ROOT, WorkerProcesses

RQ = str(Path(sys.executable).with_name("rq"))


class Side(ABC):
    """One way to run jobs: a queue to put them in, a worker process, and what RQ's readers make of it."""

    def __init__(self, name: str, address: str, queue: rq.Queue, functions: Any) -> None:
        self.name = name
        self.address = address
        self.queue = queue
        self.connection: Redis = queue.connection
        self.functions = functions
        self.processes: list[subprocess.Popen[bytes]] = []

    def enqueue(self, function: str, *args: Any, **options: Any) -> Job:
        """By the function's name; the job as RQ itself reads it."""
        return self.fetch(self.queue.enqueue(getattr(self.functions, function), args=args, **options).id)

    def fetch(self, job_id: str) -> Job:
        return Job.fetch(job_id, connection=self.connection, serializer=JSONSerializer)

    def hash(self, job_id: str) -> dict[str, bytes]:
        fields: Any = self.connection.hgetall(f"rq:job:{job_id}")
        return {name.decode(): value for name, value in fields.items()}

    def rq(self, *words: str) -> subprocess.CompletedProcess[str]:
        """RQ's own command."""
        return rq_command(self.address, *words)

    @abstractmethod
    def begin(self) -> None:
        """A worker."""

    def end(self) -> None:
        """No worker."""
        for process in self.processes:
            process.terminate()
        for process in self.processes:
            try:
                process.wait(30)
            except subprocess.TimeoutExpired:  # a failed test may have left it in a job
                process.kill()
                process.wait()
        self.processes.clear()


class StockSide(Side):
    """RQ's own queue and SimpleWorker, with the JSON serializer."""

    def __init__(self, settings: Settings) -> None:
        address = settings.redis_address().rpartition("/")[0] + "/1"
        queue = rq.Queue("default", connection=Redis.from_url(address), serializer=JSONSerializer)
        super().__init__("stock", address, queue, plain)
        self._environment = clean_environment(settings.home, PYTHONPATH=ROOT)

    def begin(self) -> None:
        options = ["--worker-class", "rq.worker.SimpleWorker", "--serializer", "json", "--url", self.address, "--quiet"]
        command = [RQ, "worker", *options, "default"]
        self.processes.append(subprocess.Popen(command, env=self._environment, cwd=ROOT))


class OurSide(Side):
    """Our Queue and our worker."""

    def __init__(self, shared: Shared) -> None:
        queue = Queue("default", connection=shared.redis, keys=shared.keys)
        super().__init__("ours", shared.settings.redis_address(), queue, kinds)
        self._fleet = WorkerProcesses(shared.settings)

    def begin(self) -> None:
        self.processes.append(self._fleet.start("default", module="tests.compatibility.worker"))


def rq_command(address: str, *words: str) -> subprocess.CompletedProcess[str]:
    """`rq WORD --url ADDRESS …`."""
    command = [RQ, words[0], "--url", address, *words[1:]]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)


def both(sides: list[Side], look: Callable[[Side], Any]) -> list[Any]:
    """What each side shows."""
    return [look(side) for side in sides]
