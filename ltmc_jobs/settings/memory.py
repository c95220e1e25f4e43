"""The four tiers: the stores, the embedding model, the graph, the cache."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, SecretStr, field_validator

from ltmc_jobs.settings.home import PROJECT_PATTERN, Home


class MemorySettings(Home):
    """The stores' and the model's part."""

    db_path: Path = Field(Path("ltmc.db"), validation_alias="DB_PATH", description="SQLite file of the records")
    faiss_index_path: Path = Field(
        Path("faiss_index"), validation_alias="FAISS_INDEX_PATH", description="Directory of the FAISS snapshots"
    )
    project: str = Field("default", validation_alias="LTMC_PROJECT", description="Project of a call that names none")

    embedding_model: str = Field(
        "all-MiniLM-L6-v2", validation_alias="EMBEDDING_MODEL", description="Embedding model, a name or a folder"
    )
    embedding_backend: Literal["auto", "openvino", "sentence-transformers"] = Field(
        "auto", validation_alias="EMBEDDING_BACKEND", description="What runs the model; auto: the fastest faithful one"
    )
    records_url: str = Field(
        "sqlite:", validation_alias="RECORDS_URL", description="Backend of the records, by scheme; sqlite: is DB_PATH"
    )
    vectors_url: str = Field(
        "faiss:", validation_alias="VECTORS_URL", description="Backend of the index, by scheme; faiss: FAISS_INDEX_PATH"
    )
    graph_url: str | None = Field(
        None,
        validation_alias="GRAPH_URL",
        description="Backend of the graph, by scheme; unset: as NEO4J_URI, else sqlite:",
    )
    neo4j_enabled: bool = Field(
        True, validation_alias="NEO4J_ENABLED", description="false: the graph stays in SQLite even with NEO4J_URI"
    )
    neo4j_uri: str | None = Field(
        None, validation_alias="NEO4J_URI", description="Bolt address; unset: the graph lives in SQLite"
    )
    neo4j_user: str = Field("neo4j", validation_alias="NEO4J_USER", description="Neo4j user")
    neo4j_password: SecretStr | None = Field(None, validation_alias="NEO4J_PASSWORD", description="Neo4j password")
    neo4j_database: str = Field("neo4j", validation_alias="NEO4J_DATABASE", description="Neo4j database")
    cache_ttl_seconds: int = Field(
        1800, ge=1, validation_alias="TOOL_CACHE_DEFAULT_TTL", description="Life of a cached tool result, seconds"
    )

    @field_validator("project")
    @classmethod
    def _project(cls, value: str) -> str:
        if not PROJECT_PATTERN.match(value):
            raise ValueError("a project is 1 to 64 letters, digits, dots, dashes or underscores")
        return value

    @field_validator("records_url", "vectors_url", "graph_url")
    @classmethod
    def _pathless(cls, value: str | None) -> str | None:
        scheme, _, rest = (value or "").partition(":")
        if scheme in ("sqlite", "faiss") and rest.strip("/"):
            place = "DB_PATH" if scheme == "sqlite" else "FAISS_INDEX_PATH"
            raise ValueError(f"a path stands in {place}: set that, and write {scheme}: here")
        return value

    @property
    def records_file(self) -> Path:
        return self.resolve(self.db_path)

    @property
    def vectors_directory(self) -> Path:
        return self.resolve(self.faiss_index_path)

    @property
    def graph_address(self) -> str:
        """Where the graph is; its scheme names the backend."""
        neo4j = self.neo4j_uri if self.neo4j_enabled else None
        return self.graph_url or neo4j or "sqlite:"
