"""Services: Shared plus stores, models and memory; worker side only. Each part opens on its first use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ltmc_jobs import stores
from ltmc_jobs.errors import Disabled, QueueUnavailable
from ltmc_jobs.inquiry import InputRequired
from ltmc_jobs.llm import minilm
from ltmc_jobs.llm.embedding import Embedder, open_embedder
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
from ltmc_jobs.settings import Settings
from ltmc_jobs.shared import Shared
from ltmc_jobs.stores.contracts import (
    Catalogue,
    Chats,
    CodePatternTable,
    Corpus,
    Graph,
    Links,
    Records,
    Todos,
    VectorRows,
    Vectors,
    WeightTable,
)
from ltmc_jobs.stores.contracts.transfer import EdgeList, Transfer

MODELS = 2  # more than one is needed only while all is embedded anew


class Tiers:
    """The opened stores and the model of one process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._embedders: dict[str, Embedder] = {}
        self._vectors: dict[str, Vectors] = {}

    @property
    def configured_model(self) -> str:
        """The name of the embedding model of the settings; it opens no store and loads no model."""
        return minilm.canonical(self._settings.embedding_model)

    @property
    def model(self) -> str:
        """The embedding model in use: the configured one; while all is embedded anew, that of the stored vectors."""
        configured, stored = self.configured_model, self.records.vector_model()
        if stored is not None and stored[0] != configured and self.vector_rows.target() == configured:
            return stored[0]
        return configured

    @cached_property
    def records(self) -> Records:
        return stores.open_records(self._settings)

    @cached_property
    def catalogue(self) -> Catalogue:
        return stores.open_catalogue(self._settings)

    @cached_property
    def corpus(self) -> Corpus:
        return stores.open_corpus(self._settings)

    @cached_property
    def chats(self) -> Chats:
        return stores.open_chats(self._settings)

    @cached_property
    def todos(self) -> Todos:
        return stores.open_todos(self._settings)

    @cached_property
    def links(self) -> Links:
        return stores.open_links(self._settings)

    @cached_property
    def transfer(self) -> Transfer:
        return stores.open_transfer(self._settings)

    @cached_property
    def edges(self) -> EdgeList:
        return stores.open_edges(self._settings)

    @cached_property
    def code_patterns(self) -> CodePatternTable:
        return stores.open_code_patterns(self._settings)

    @cached_property
    def weights(self) -> WeightTable:
        return stores.open_weights(self._settings)

    @cached_property
    def vector_rows(self) -> VectorRows:
        return stores.open_vector_rows(self._settings)

    @property
    def vectors(self) -> Vectors:
        """The index of the model in use."""
        model = self.model
        if model not in self._vectors:
            while self._vectors:
                self._vectors.popitem()[1].close()
            bundled = model == minilm.MODEL  # an index alone loads no model
            dimension = minilm.DIMENSION if bundled else self.embedder_of(model).dimension
            self._vectors[model] = stores.open_vectors(self._settings, self.records, model, dimension)
        return self._vectors[model]

    @cached_property
    def graph(self) -> Graph:
        return stores.open_graph(self._settings)

    @property
    def embedder(self) -> Embedder:
        """The model in use."""
        return self.embedder_of(self.model)

    def embedder_of(self, model: str) -> Embedder:
        """A model by its name, loaded on first use; two stay loaded."""
        if model not in self._embedders:
            opened = open_embedder(self._settings, model=model)
            while len(self._embedders) >= MODELS:
                self._embedders.pop(next(iter(self._embedders)))
            self._embedders[model] = opened
        return self._embedders[model]

    def close(self) -> None:
        while self._vectors:
            self._vectors.popitem()[1].close()
        for part in (
            "edges",
            "transfer",
            "graph",
            "vector_rows",
            "links",
            "todos",
            "chats",
            "corpus",
            "catalogue",
            "weights",
            "records",
        ):
            if part in self.__dict__:
                self.__dict__.pop(part).close()


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
