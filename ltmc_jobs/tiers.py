"""Tiers: the opened stores and the model of one process; each part opens on its first use."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TypeVar

from ltmc_jobs import stores
from ltmc_jobs.llm import minilm
from ltmc_jobs.llm.embedding import Embedder, open_embedder
from ltmc_jobs.settings import Settings
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

T = TypeVar("T")

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
        return self._beside(stores.open_catalogue)

    @cached_property
    def corpus(self) -> Corpus:
        return self._beside(stores.open_corpus)

    @cached_property
    def chats(self) -> Chats:
        return self._beside(stores.open_chats)

    @cached_property
    def todos(self) -> Todos:
        return self._beside(stores.open_todos)

    @cached_property
    def links(self) -> Links:
        return self._beside(stores.open_links)

    @cached_property
    def transfer(self) -> Transfer:
        return self._beside(stores.open_transfer)

    @cached_property
    def edges(self) -> EdgeList:
        if self._settings.graph_address.startswith("sqlite"):
            return self._beside(stores.open_edges)
        return stores.open_edges(self._settings)

    @cached_property
    def code_patterns(self) -> CodePatternTable:
        return self._beside(stores.open_code_patterns)

    @cached_property
    def weights(self) -> WeightTable:
        return self._beside(stores.open_weights)

    @cached_property
    def vector_rows(self) -> VectorRows:
        return self._beside(stores.open_vector_rows)

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
        if self._settings.graph_address.startswith("sqlite"):
            return self._beside(stores.open_graph)
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

    def _beside(self, open_store: Callable[[Settings], T]) -> T:
        """Open a store in the records' file, which must be there: where none is, this would make a new memory."""
        self.records.check()
        return open_store(self._settings)

    def close(self) -> None:
        while self._vectors:
            self._vectors.popitem()[1].close()
        for part in (
            "edges",
            "transfer",
            "graph",
            "vector_rows",
            "code_patterns",
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
