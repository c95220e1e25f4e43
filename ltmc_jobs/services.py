"""Services: Shared plus stores, models and memory; worker side only. Each part opens on its first use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from ltmc_jobs.errors import Disabled, QueueUnavailable
from ltmc_jobs.inquiry import InputRequired
from ltmc_jobs.memory import context
from ltmc_jobs.memory.attempts import Attempts
from ltmc_jobs.memory.kinship import Kinship
from ltmc_jobs.memory.memory import Memory
from ltmc_jobs.memory.relations import Relations
from ltmc_jobs.memory.sources import Sources
from ltmc_jobs.memory.transfer import Passage, Traces
from ltmc_jobs.queues.answers import read_answers
from ltmc_jobs.queues.contract import JobContext, JobSpec
from ltmc_jobs.queues.envelope import Call
from ltmc_jobs.queues.reach import reaching
from ltmc_jobs.results.context import BuiltContext
from ltmc_jobs.shared import Shared
from ltmc_jobs.tiers import Tiers


@dataclass(frozen=True)
class Services:
    """What a job's function is handed: the process's parts, and the call it runs for."""

    shared: Shared
    tiers: Tiers
    call: Call | None = None
    job: JobContext | None = None
    following: dict[str, list[JobSpec]] = field(default_factory=dict)

    @classmethod
    def open(cls, shared: Shared) -> Services:
        """One per process, after any fork."""
        return cls(shared, Tiers(shared.settings))

    def during(self, call: Call, job: JobContext) -> Services:
        """The same parts, for one call."""
        return Services(self.shared, self.tiers, call, job)

    @property
    def current(self) -> Call:
        """The call that is being run."""
        if self.call is None:
            raise RuntimeError("no call is being run")
        return self.call

    @property
    def memory(self) -> Memory:
        """The four tiers as one memory, of the call's project."""
        return Memory(self.tiers, self.current, self.following, self.query_vector)

    @property
    def attempts(self) -> Attempts:
        """Attempts at code, of the call's project."""
        return Attempts(self.tiers, self.memory, self.current)

    @property
    def sources(self) -> Sources:
        """Memory, code patterns, chats and todos, of the call's project."""
        return Sources(self.tiers, self.memory, self.attempts, self.current.project)

    def build_context(self, documents: Sequence[dict[str, Any]], max_tokens: int) -> BuiltContext:
        """Documents as one text of at most `max_tokens`, those with the highest scores first."""
        return context.build(documents, max_tokens)

    def tool_calls(self) -> dict[str, int] | None:
        """How often each tool was called in this installation, by name; None while Redis is away."""
        with suppress(QueueUnavailable), reaching():
            return self.shared.metrics.tool_calls()
        return None

    def query_vector(self, text: str) -> npt.NDArray[np.float32]:
        """The unit vector of a query, from the cache where it was asked before, else from the model."""
        cache, project, model = self.shared.embeddings, self.current.project, self.tiers.model
        kept = cache.find(project, model, text)
        if kept is not None:
            return np.frombuffer(kept, dtype=np.float32).copy()
        vector: npt.NDArray[np.float32] = self.tiers.embedder_of(model).encode([text])[0]
        cache.keep(project, model, text, vector.tobytes())
        return vector

    def ask(self, questions: Mapping[str, Mapping[str, Any]], *, first: bool = False) -> dict[str, Any]:
        """The answers to all of these, as given; where one lacks, the job ends here, and runs again when all have come.

        `questions` are `{method, params}` by a key (`ltmc_jobs.inquiry.form` builds one). A job asks all that it may
        need before it changes anything, for each leg runs from its beginning. `first` as in InputRequired.
        """
        if self.shared.settings.redis_enabled is False:
            raise Disabled("a job can ask its caller only through Redis, which is switched off (REDIS_ENABLED=false)")
        with reaching():
            given = read_answers(self.shared.redis, self.current.id, list(questions), self.shared.keys)
        missing = {key: question for key, question in questions.items() if key not in given}
        if missing:
            raise InputRequired(missing, first=first)
        return given

    @property
    def passage(self) -> Passage:
        """What leaves the memory of the call's project, and what comes into it."""
        project = self.current.project

        def flush() -> int:
            with suppress(QueueUnavailable), reaching():
                return sum(self.shared.cache_index.flush(project, kind) for kind in ("queries", "tools", "chunks"))
            return 0

        def tell(done: float, total: float, message: str) -> None:
            if self.job is not None:
                self.job.progress(done, total, message)

        return Passage(self.tiers, self.memory, self.attempts, project, Traces(self.shared.queue.forget, flush), tell)

    @property
    def relations(self) -> Relations:
        """What is linked to what in the call's project."""
        return Relations(self.tiers, self.current.project)

    @property
    def kinship(self) -> Kinship:
        """Which documents of the call's project are alike; looking for that takes a while, and says how far it is."""

        def tell(done: float, total: float, message: str) -> None:
            if self.job is not None:
                self.job.progress(done, total, message)

        return Kinship(self.tiers, self.current.project, tell)

    def result_of(self, job_id: str) -> Any:
        """The result of a job that has ended; raises its error."""
        return self.shared.queue.outcome(job_id, 0).unwrap()

    def close(self) -> None:
        self.tiers.close()
        self.shared.close()
