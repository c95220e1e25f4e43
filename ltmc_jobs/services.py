"""Services: Shared plus stores, models and memory; worker side only. Each part opens on its first use."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from ltmc_jobs import stores
from ltmc_jobs.llm import minilm
from ltmc_jobs.llm.embedding import Embedder, open_embedder
from ltmc_jobs.memory.memory import Memory
from ltmc_jobs.queues.contract import JobContext, JobSpec
from ltmc_jobs.queues.envelope import Call
from ltmc_jobs.settings import Settings
from ltmc_jobs.shared import Shared
from ltmc_jobs.stores.contracts import Catalogue, Graph, Records, Vectors


class Tiers:
    """The opened stores and the model of one process."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings

    @property
    def model(self) -> str:
        """The name of the embedding model, which need not be loaded for it."""
        return minilm.canonical(self._settings.embedding_model)

    @cached_property
    def records(self) -> Records:
        return stores.open_records(self._settings)

    @cached_property
    def catalogue(self) -> Catalogue:
        return stores.open_catalogue(self._settings)

    @cached_property
    def vectors(self) -> Vectors:
        bundled = self.model == minilm.MODEL
        dimension = minilm.DIMENSION if bundled else self.embedder.dimension  # an index alone loads no model
        return stores.open_vectors(self._settings, self.records, self.model, dimension)

    @cached_property
    def graph(self) -> Graph:
        return stores.open_graph(self._settings)

    @cached_property
    def embedder(self) -> Embedder:
        return open_embedder(self._settings)

    def close(self) -> None:
        for part in ("graph", "vectors", "catalogue", "records"):
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
        return Memory(self.tiers, self.current, self.following)

    def query_vector(self, text: str) -> npt.NDArray[np.float32]:
        """The unit vector of a query, from the cache where it was asked before, else from the model."""
        cache, project, model = self.shared.embeddings, self.current.project, self.tiers.model
        kept = cache.find(project, model, text)
        if kept is not None:
            return np.frombuffer(kept, dtype=np.float32).copy()
        vector: npt.NDArray[np.float32] = self.tiers.embedder.encode([text])[0]
        cache.keep(project, model, text, vector.tobytes())
        return vector

    def result_of(self, job_id: str) -> Any:
        """The result of a job that has ended; raises its error."""
        return self.shared.queue.outcome(job_id, 0).unwrap()

    def close(self) -> None:
        self.tiers.close()
        self.shared.close()
