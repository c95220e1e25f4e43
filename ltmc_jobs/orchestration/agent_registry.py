"""AgentRegistry: which agents were heard of lately. An agent is heard of when a call names it."""

from __future__ import annotations

from typing import Any

from redis import Redis

from ltmc_jobs import keys

ACTIVE_SECONDS = 60


class AgentRegistry:
    """One sorted set a project, agents by when they were last heard of, by the server's clock."""

    def __init__(self, connection: Redis) -> None:
        self._connection = connection

    def heard(self, project: str, agent_id: str) -> None:
        """Note that an agent was active now."""
        name = keys.key(project, "agent")
        now = self._now()
        pipeline = self._connection.pipeline()
        pipeline.zadd(name, {agent_id: now})
        pipeline.zremrangebyscore(name, "-inf", now - ACTIVE_SECONDS)
        pipeline.expire(name, 2 * ACTIVE_SECONDS)
        pipeline.sadd(keys.key(keys.INSTALLATION, "projects"), project)
        pipeline.expire(keys.key(keys.INSTALLATION, "projects"), 2 * ACTIVE_SECONDS)
        pipeline.execute()

    def heard_lately(self, project: str) -> list[str]:
        """The agents of a project that were heard of in the last minute, the latest first."""
        names: Any = self._connection.zrevrangebyscore(keys.key(project, "agent"), "+inf", self._now() - ACTIVE_SECONDS)
        return [name.decode() for name in names]

    def active(self) -> int:
        """Agents heard of in the last minute, over all projects."""
        since = self._now() - ACTIVE_SECONDS
        projects: Any = self._connection.smembers(keys.key(keys.INSTALLATION, "projects"))
        pipeline = self._connection.pipeline(transaction=False)
        for project in projects:
            pipeline.zcount(keys.key(project.decode(), "agent"), since, "+inf")
        return sum(pipeline.execute())

    def _now(self) -> float:
        seconds, microseconds = self._connection.time()
        return float(seconds) + float(microseconds) / 1e6
