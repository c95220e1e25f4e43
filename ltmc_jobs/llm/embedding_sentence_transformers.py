"""Any model of sentence-transformers, on torch: a name in its local cache, or a folder."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from importlib.util import find_spec

import numpy as np
import numpy.typing as npt

from ltmc_jobs.errors import Misconfigured

BATCH_TEXTS = 8  # sorted by length inside; more rows leave the CPU's cache


class SentenceTransformersEmbedder:
    """A sentence-transformers model in this process; it is never fetched."""

    def __init__(self, source: str, *, name: str | None = None, threads: int = 1) -> None:
        """Load a cached name or a folder; Misconfigured if the library or the model is missing."""
        for package in ("torch", "sentence_transformers"):
            if find_spec(package) is None:
                raise Misconfigured(
                    f"EMBEDDING_MODEL={name or source} needs {package}: pip install torch sentence-transformers"
                )
        import torch
        from sentence_transformers import SentenceTransformer

        torch.set_num_threads(threads)  # with one, a fork after a call is safe
        try:
            self._network = SentenceTransformer(source, device="cpu", local_files_only=True)
        except (OSError, ValueError) as error:
            raise Misconfigured(
                f"EMBEDDING_MODEL={name or source} is neither a folder nor a model in the local cache; "
                f"fetch it once with: hf download {source} ({type(error).__name__})"
            ) from error
        self.model = name or source
        self.dimension = int(self._network.encode([""]).shape[1])
        self._lock = threading.Lock()

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Encode texts, shape (n, dimension), unit norm, in their order; a repeated text is computed once."""
        places = {text: place for place, text in enumerate(dict.fromkeys(texts))}
        if not places:
            return np.empty((0, self.dimension), np.float32)
        with self._lock:
            vectors = self._network.encode(
                list(places), batch_size=BATCH_TEXTS, normalize_embeddings=True, show_progress_bar=False
            )
        return np.asarray(vectors, np.float32)[[places[text] for text in texts]]
