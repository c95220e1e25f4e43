"""One file a backend: <role>_<backend>.py, one contract file, one test suite for all."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from ltmc_jobs.errors import Misconfigured
from ltmc_jobs.settings import Settings
from ltmc_jobs.stores.contracts import Graph, Records, Vectors

# role → scheme → where its class is. Imported when opened: a process that needs no Neo4j loads no driver.
BACKENDS: dict[str, dict[str, str]] = {
    "records": {"sqlite": "ltmc_jobs.stores.records_sqlite:SqliteRecords"},
    "vectors": {"faiss": "ltmc_jobs.stores.vectors_faiss:FaissVectors"},
    "graph": {
        "sqlite": "ltmc_jobs.stores.graph_sqlite:SqliteGraph",
        "neo4j": "ltmc_jobs.stores.graph_neo4j:Neo4jGraph",
    },
}


def open_records(settings: Settings) -> Records:
    """Open the documents, versions and chunks."""
    records: Records = _backend("records", "sqlite")(settings.records_file)
    return records


def open_vectors(settings: Settings, records: Records, dimension: int) -> Vectors:
    """Open the index over the records' vectors."""
    vectors: Vectors = _backend("vectors", "faiss")(settings.vectors_directory, records, dimension)
    return vectors


def open_graph(settings: Settings) -> Graph:
    """Open the graph: Neo4j where one is set, else beside the records."""
    graph: Graph
    if not settings.graph_is_neo4j:
        graph = _backend("graph", "sqlite")(settings.records_file)
        return graph
    if settings.neo4j_password is None:
        raise Misconfigured("NEO4J_URI is set and NEO4J_PASSWORD is not: set it, or unset NEO4J_URI")
    graph = _backend("graph", "neo4j")(
        settings.neo4j_uri,
        user=settings.neo4j_user,
        password=settings.neo4j_password.get_secret_value(),
        database=settings.neo4j_database,
    )
    return graph


def _backend(role: str, scheme: str) -> Any:
    module, _, name = BACKENDS[role][scheme].partition(":")
    return getattr(import_module(module), name)
