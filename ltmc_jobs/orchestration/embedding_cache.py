"""EmbeddingCache: vectors of texts that are asked for again and again, such as queries; a hit spares the model."""

from __future__ import annotations

import hashlib

from redis import Redis, RedisError

from ltmc_jobs import keys
from ltmc_jobs.orchestration.cache_index import INDEX_SECONDS, CacheIndex

TEXT_CHARACTERS = 8192  # what is longer is a document, and is not asked for again


class EmbeddingCache:
    """Vectors as bytes, under a hash of their text: the text itself is not kept. Never an error: at worst a miss."""

    def __init__(self, connection: Redis, index: CacheIndex) -> None:
        self._connection = connection
        self._index = index

    def find(self, project: str, model: str, text: str) -> bytes | None:
        """The vector kept for this text by this model; None when there is none, or Redis cannot say."""
        try:
            found = self._connection.get(_name(project, model, text))
        except RedisError:
            return None
        return found if isinstance(found, bytes) else None

    def keep(self, project: str, model: str, text: str, vector: bytes) -> None:
        """Keep a vector for a day, if Redis takes it."""
        if len(text) > TEXT_CHARACTERS:
            return
        try:
            self._index.keep("embeddings", _name(project, model, text), vector, INDEX_SECONDS)
        except RedisError:
            return


def _name(project: str, model: str, text: str) -> str:
    return keys.key(project, "embedding", model, hashlib.sha256(text.encode()).hexdigest())
