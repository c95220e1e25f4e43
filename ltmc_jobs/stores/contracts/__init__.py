"""What a store is: one file a role, each a Protocol that every backend of its role fulfils."""

from ltmc_jobs.stores.contracts.catalogue import Catalogue
from ltmc_jobs.stores.contracts.graph import Edge, Graph, Node, check_graph_name
from ltmc_jobs.stores.contracts.records import Chunk, ChunkText, Records, Version
from ltmc_jobs.stores.contracts.scope import Scope
from ltmc_jobs.stores.contracts.vectors import Hit, Snapshot, VectorRow, Vectors

__all__ = [
    "Catalogue",
    "Chunk",
    "ChunkText",
    "Edge",
    "Graph",
    "Hit",
    "Node",
    "Records",
    "Scope",
    "Snapshot",
    "VectorRow",
    "Vectors",
    "Version",
    "check_graph_name",
]
