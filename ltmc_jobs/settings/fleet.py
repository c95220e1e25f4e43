"""The workers: how many, how much at once, how long."""

from __future__ import annotations

from pydantic import AliasChoices, Field, SecretStr

from ltmc_jobs.settings.home import Home


class FleetSettings(Home):
    """The worker processes' part."""

    worker_count: int = Field(
        4,
        ge=1,
        le=64,
        validation_alias=AliasChoices("LTMC_WORKERS", "LETTA_WORKER_COUNT"),
        description="Processes for the default and low queues",
    )
    thread_slots: int = Field(
        8, ge=1, le=256, validation_alias="LTMC_THREAD_SLOTS", description="Jobs at once on a worker process's threads"
    )
    async_slots: int = Field(
        200, ge=1, le=10_000, validation_alias="LTMC_ASYNC_SLOTS", description="Coroutine jobs at once in a process"
    )
    process_slots: int = Field(
        1, ge=1, le=64, validation_alias="LTMC_PROCESS_SLOTS", description="Isolated jobs at once, a child process each"
    )
    stop_seconds: float = Field(
        20.0, ge=0, le=28, validation_alias="LTMC_STOP_SECONDS", description="How long a stopping worker lets jobs end"
    )
    job_days: int = Field(
        7, ge=1, validation_alias="LTMC_JOB_DAYS", description="Jobs that ended so many days ago are deleted"
    )
    signing_key: SecretStr | None = Field(
        None, validation_alias="LTMC_SIGNING_KEY", description="Key that signs jobs; unset: the one made on first start"
    )
    use_queue: bool = Field(
        True,
        validation_alias=AliasChoices("LTMC_USE_QUEUE", "LETTA_USE_REDIS_QUEUE"),
        description="false: serve calls locally, one after the other; refuse those that need Redis",
    )
