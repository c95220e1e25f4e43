"""What a store is: one file a role, each a Protocol that every backend of its role fulfils."""

from ltmc_jobs.stores.contracts.catalogue import Catalogue
from ltmc_jobs.stores.contracts.chats import Chats, FoundMessage, ToolMessages
from ltmc_jobs.stores.contracts.code_patterns import Attempt, CodePatternTable, Filter
from ltmc_jobs.stores.contracts.corpus import Corpus, StoredDocument
from ltmc_jobs.stores.contracts.graph import Direction, Edge, End, Graph, Merged, Node, check_graph_name
from ltmc_jobs.stores.contracts.links import Links
from ltmc_jobs.stores.contracts.page import Page, filled
from ltmc_jobs.stores.contracts.records import (
    Chunk,
    ChunkText,
    Document,
    Place,
    Records,
    Surroundings,
    Version,
    WordsFound,
)
from ltmc_jobs.stores.contracts.scope import Scope
from ltmc_jobs.stores.contracts.todos import FoundTodo, Todos
from ltmc_jobs.stores.contracts.vector_rows import VectorRows, digest_of
from ltmc_jobs.stores.contracts.vectors import Hit, Snapshot, VectorRow, Vectors
from ltmc_jobs.stores.contracts.weights import WeightTable

__all__ = [
    "Attempt",
    "Catalogue",
    "Chats",
    "Chunk",
    "ChunkText",
    "CodePatternTable",
    "Corpus",
    "Direction",
    "Document",
    "Edge",
    "End",
    "Filter",
    "FoundMessage",
    "FoundTodo",
    "Graph",
    "Hit",
    "Links",
    "Merged",
    "Node",
    "Page",
    "Place",
    "Records",
    "Scope",
    "Snapshot",
    "StoredDocument",
    "Surroundings",
    "Todos",
    "ToolMessages",
    "VectorRow",
    "VectorRows",
    "Vectors",
    "Version",
    "WeightTable",
    "WordsFound",
    "check_graph_name",
    "digest_of",
    "filled",
]
