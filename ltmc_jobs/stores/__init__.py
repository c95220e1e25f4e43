"""One file a backend: <role>_<backend>.py, one contract file, one test suite for all."""

from __future__ import annotations

from importlib import import_module
from typing import TypeVar, cast

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

Role = TypeVar("Role")

# the setting that says where a role's data is → scheme of its URL → its backend
BACKENDS: dict[str, dict[str, str]] = {
    "RECORDS_URL": {"sqlite": "sqlite"},
    "VECTORS_URL": {"faiss": "faiss"},
    "GRAPH_URL": {
        "sqlite": "sqlite",
        "neo4j": "neo4j",
        "bolt": "neo4j",
    },
}

# role → what its backends' files begin with, and the setting that says where its data is
ROLES: dict[type, tuple[str, str]] = {
    Records: ("records", "RECORDS_URL"),
    Catalogue: ("catalogue", "RECORDS_URL"),
    Corpus: ("corpus", "RECORDS_URL"),
    Chats: ("chats", "RECORDS_URL"),
    Todos: ("todos", "RECORDS_URL"),
    Links: ("links", "RECORDS_URL"),
    CodePatternTable: ("code_patterns", "RECORDS_URL"),
    WeightTable: ("weights", "RECORDS_URL"),
    VectorRows: ("vector_rows", "RECORDS_URL"),
    Transfer: ("transfer", "RECORDS_URL"),
    Vectors: ("vectors", "VECTORS_URL"),
    Graph: ("graph", "GRAPH_URL"),
    EdgeList: ("edges", "GRAPH_URL"),
}


def open_store(role: type[Role], settings: Settings, *given: object) -> Role:
    """Open the backend that the settings name for a role: `open_store(Graph, settings)`.

    `given` is what the role's `from_settings` takes beside the settings: for Vectors the records, the model's name
    and how many numbers it makes. Raises Misconfigured for a scheme that no backend has, or one without this role.
    The backend is imported here: a process that needs no Neo4j loads no driver.
    """
    name, setting = ROLES[role]
    scheme = _scheme(settings, setting)
    if scheme not in BACKENDS[setting]:
        known = ", ".join(BACKENDS[setting])
        raise Misconfigured(f"{setting}: there is no backend for {scheme!r}; there are {known}")
    path = f"{__name__}.{name}_{BACKENDS[setting][scheme]}"
    try:
        module = import_module(path)
    except ModuleNotFoundError as error:
        if error.name != path:
            raise
        raise Misconfigured(f"{setting}: the backend for {scheme!r} has no {name}") from error
    return cast(Role, module.from_settings(settings, *given))


def is_beside_records(role: type, settings: Settings) -> bool:
    """Whether a role's data is in the records' file."""
    return role is not Records and _scheme(settings, ROLES[role][1]) == "sqlite"


def _scheme(settings: Settings, setting: str) -> str:
    addresses = {
        "RECORDS_URL": settings.records_url,
        "VECTORS_URL": settings.vectors_url,
        "GRAPH_URL": settings.graph_address,
    }
    return addresses[setting].partition(":")[0].partition("+")[0]
