"""One file a backend: <role>_<backend>.py, one contract file, one test suite for all."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ltmc_jobs.errors import Misconfigured
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

# role → scheme of its URL → its module, whose `from_settings` opens it. Imported when opened: a process that needs
# no Neo4j loads no driver.
BACKENDS: dict[str, dict[str, str]] = {
    "records": {"sqlite": "ltmc_jobs.stores.records_sqlite"},
    "catalogue": {"sqlite": "ltmc_jobs.stores.catalogue_sqlite"},
    "corpus": {"sqlite": "ltmc_jobs.stores.corpus_sqlite"},
    "chats": {"sqlite": "ltmc_jobs.stores.chats_sqlite"},
    "todos": {"sqlite": "ltmc_jobs.stores.todos_sqlite"},
    "links": {"sqlite": "ltmc_jobs.stores.links_sqlite"},
    "transfer": {"sqlite": "ltmc_jobs.stores.transfer_sqlite"},
    "edges": {
        "sqlite": "ltmc_jobs.stores.edges_sqlite",
        "neo4j": "ltmc_jobs.stores.edges_neo4j",
        "bolt": "ltmc_jobs.stores.edges_neo4j",
    },
    "code_patterns": {"sqlite": "ltmc_jobs.stores.code_patterns_sqlite"},
    "weights": {"sqlite": "ltmc_jobs.stores.weights_sqlite"},
    "vector_rows": {"sqlite": "ltmc_jobs.stores.vector_rows_sqlite"},
    "vectors": {"faiss": "ltmc_jobs.stores.vectors_faiss"},
    "graph": {
        "sqlite": "ltmc_jobs.stores.graph_sqlite",
        "neo4j": "ltmc_jobs.stores.graph_neo4j",
        "bolt": "ltmc_jobs.stores.graph_neo4j",
    },
}


def open_records(settings: Settings) -> Records:
    """Open the documents, versions and chunks."""
    records: Records = _backend("records", settings.records_url).from_settings(settings)
    return records


def open_catalogue(settings: Settings) -> Catalogue:
    """Open what lists and names the records, where they are."""
    catalogue: Catalogue = _backend("catalogue", settings.records_url).from_settings(settings)
    return catalogue


def open_corpus(settings: Settings) -> Corpus:
    """Open the documents as links see them, where the records are."""
    corpus: Corpus = _backend("corpus", settings.records_url).from_settings(settings)
    return corpus


def open_chats(settings: Settings) -> Chats:
    """Open the chats, where the records are."""
    chats: Chats = _backend("chats", settings.records_url).from_settings(settings)
    return chats


def open_todos(settings: Settings) -> Todos:
    """Open the todos, where the records are."""
    todos: Todos = _backend("todos", settings.records_url).from_settings(settings)
    return todos


def open_links(settings: Settings) -> Links:
    """Open the links from messages to chunks, where the records are."""
    links: Links = _backend("links", settings.records_url).from_settings(settings)
    return links


def open_code_patterns(settings: Settings) -> CodePatternTable:
    """Open the attempts at code, where the records are."""
    patterns: CodePatternTable = _backend("code_patterns", settings.records_url).from_settings(settings)
    return patterns


def open_weights(settings: Settings) -> WeightTable:
    """Open the weights of searches, where the records are."""
    weights: WeightTable = _backend("weights", settings.records_url).from_settings(settings)
    return weights


def open_vector_rows(settings: Settings) -> VectorRows:
    """Open the vector rows, where the records are."""
    rows: VectorRows = _backend("vector_rows", settings.records_url).from_settings(settings)
    return rows


def open_vectors(settings: Settings, records: Records, model: str, dimension: int) -> Vectors:
    """Open the index over the records' vectors, for a model of this name that makes so many numbers."""
    vectors: Vectors = _backend("vectors", settings.vectors_url).from_settings(settings, records, model, dimension)
    return vectors


def open_transfer(settings: Settings) -> Transfer:
    """Open the records as they leave and come, where the records are."""
    transfer: Transfer = _backend("transfer", settings.records_url).from_settings(settings)
    return transfer


def open_edges(settings: Settings) -> EdgeList:
    """Open the list of links, where the graph is."""
    edges: EdgeList = _backend("edges", settings.graph_address).from_settings(settings)
    return edges


def open_graph(settings: Settings) -> Graph:
    """Open the graph: where GRAPH_URL or NEO4J_URI says, else beside the records."""
    graph: Graph = _backend("graph", settings.graph_address).from_settings(settings)
    return graph


def _backend(role: str, url: str) -> Any:
    scheme = url.partition(":")[0].partition("+")[0]
    if scheme not in BACKENDS[role]:
        known = ", ".join(BACKENDS[role])
        setting = f"{role.upper()}_URL" if role in ("vectors", "graph") else "RECORDS_URL"
        raise Misconfigured(f"{setting}: there is no backend for {scheme!r}; there are {known}")
    return import_module(BACKENDS[role][scheme])
