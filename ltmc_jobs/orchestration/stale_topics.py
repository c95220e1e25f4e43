"""StaleTopics: what changed while Redis could not be told, so that no cached result of before is given afterwards.

One file of the home, `stale_topics`, a JSON line a change. It is there before the change is answered, and goes when
Redis has been told: told twice, after a crash in between, does no harm.
"""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from redis import Redis
from redis.asyncio import Redis as AsyncRedis

from ltmc_jobs.orchestration.agent_registry import AgentRegistry
from ltmc_jobs.orchestration.tool_cache import ToolCache

FILE = "stale_topics"


class StaleTopics:
    """The file; processes of the home share it."""

    def __init__(self, home: Path) -> None:
        self._path = home / FILE

    @property
    def pending(self) -> bool:
        """Whether Redis has something to be told: one look at the directory, for every call."""
        try:
            return self._path.stat().st_size > 0
        except FileNotFoundError:
            return False

    def note(self, project: str, topics: Iterable[str]) -> None:
        """Remember a change; it is on the disk when this returns."""
        with self._locked() as file:
            known = self._read(file)
            added = [(project, topic) for topic in topics if (project, topic) not in known]
            if added:
                os.lseek(file, 0, os.SEEK_END)
                os.write(file, "".join(f"{json.dumps(pair)}\n" for pair in added).encode())
                os.fsync(file)

    def settle(self, cache: ToolCache) -> None:
        """Tell Redis all of it; raises its error, and keeps what was not told."""
        if not self.pending:
            return
        with self._locked() as file:
            by_project: dict[str, list[str]] = {}
            for project, topic in self._read(file):
                by_project.setdefault(project, []).append(topic)
            for project, topics in by_project.items():
                cache.bump(project, topics)
            os.ftruncate(file, 0)  # kept, and not removed: another process may be waiting for its lock

    @contextmanager
    def _locked(self) -> Iterator[int]:
        file = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield file
        finally:
            os.close(file)

    @staticmethod
    def _read(file: int) -> list[tuple[str, str]]:
        os.lseek(file, 0, os.SEEK_SET)
        text = b""
        while part := os.read(file, 1 << 16):
            text += part
        return [tuple(json.loads(line)) for line in text.decode().splitlines() if line.endswith("]")]


class UntoldCache(ToolCache):
    """The cache of a process without Redis: nothing is kept, and what changed is noted for later."""

    def __init__(self, connection: Redis, async_connection: AsyncRedis, topics: StaleTopics) -> None:
        super().__init__(connection, async_connection, 1)
        self._topics = topics

    def bump(self, project: str, topics: Iterable[str]) -> None:
        """Note the change."""
        self._topics.note(project, topics)


class UnheardAgents(AgentRegistry):
    """The agents of a process without Redis: active for a minute at most, they are not worth a note."""

    def heard(self, project: str, agent_id: str) -> None:
        """Nothing."""

    def heard_lately(self, project: str) -> list[str]:
        """None, of any project."""
        del project
        return []
