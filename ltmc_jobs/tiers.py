"""Tiers: the opened stores and the model of one process; each part opens on its first use."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar, cast

from ltmc_jobs.llm import minilm
from ltmc_jobs.llm.embedding import Embedder, open_embedder
from ltmc_jobs.settings import Settings
from ltmc_jobs.stores import contracts, is_beside_records, open_store
from ltmc_jobs.stores.contracts import Vectors
from ltmc_jobs.stores.contracts.transfer import EdgeList, Transfer

Role = TypeVar("Role")

MODELS = 2  # more than one is needed only while all is embedded anew


class Opened(Generic[Role]):
    """A store of a `Tiers`, opened when it is first read."""

    def __init__(self, role: type[Role]) -> None:
        self._role = role

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    def __get__(self, tiers: Tiers, owner: type) -> Role:
        with tiers.opening:
            if self._name not in vars(tiers):
                if is_beside_records(self._role, tiers.settings):
                    tiers.records.check()  # where no file is, this would make a new memory
                vars(tiers)[self._name] = open_store(self._role, tiers.settings)  # from now on found there, before this
            return cast(Role, vars(tiers)[self._name])


class Tiers:
    """The opened stores and the model of one process."""

    records = Opened(contracts.Records)
    catalogue = Opened(contracts.Catalogue)
    corpus = Opened(contracts.Corpus)
    chats = Opened(contracts.Chats)
    todos = Opened(contracts.Todos)
    links = Opened(contracts.Links)
    code_patterns = Opened(contracts.CodePatternTable)
    weights = Opened(contracts.WeightTable)
    vector_rows = Opened(contracts.VectorRows)
    transfer = Opened(Transfer)
    graph = Opened(contracts.Graph)
    edges = Opened(EdgeList)

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.opening = threading.RLock()  # threads that read a store first at once get the same
        self._embedders: dict[str, Embedder] = {}
        self._vectors: dict[str, Vectors] = {}

    @property
    def configured_model(self) -> str:
        """The name of the embedding model of the settings; it opens no store and loads no model."""
        return minilm.canonical(self.settings.embedding_model)

    @property
    def model(self) -> str:
        """The embedding model in use: the configured one; while all is embedded anew, that of the stored vectors."""
        configured, stored = self.configured_model, self.records.vector_model()
        if stored is not None and stored[0] != configured and self.vector_rows.target() == configured:
            return stored[0]
        return configured

    @property
    def vectors(self) -> Vectors:
        """The index of the model in use."""
        model = self.model
        if model not in self._vectors:
            while self._vectors:
                self._vectors.popitem()[1].close()
            bundled = model == minilm.MODEL  # an index alone loads no model
            dimension = minilm.DIMENSION if bundled else self.embedder_of(model).dimension
            self._vectors[model] = open_store(Vectors, self.settings, self.records, model, dimension)
        return self._vectors[model]

    @property
    def embedder(self) -> Embedder:
        """The model in use."""
        return self.embedder_of(self.model)

    def embedder_of(self, model: str) -> Embedder:
        """A model by its name, loaded on first use; two stay loaded."""
        if model not in self._embedders:
            opened = open_embedder(self.settings, model=model)
            while len(self._embedders) >= MODELS:
                self._embedders.pop(next(iter(self._embedders)))
            self._embedders[model] = opened
        return self._embedders[model]

    def close(self) -> None:
        while self._vectors:
            self._vectors.popitem()[1].close()
        for name, part in reversed(list(vars(Tiers).items())):  # the records last
            if isinstance(part, Opened) and name in vars(self):
                vars(self).pop(name).close()
