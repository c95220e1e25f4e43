"""Texts to unit vectors: what an embedder is, and which one this machine runs."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Protocol

import numpy as np
import numpy.typing as npt

from ltmc_jobs.errors import Misconfigured
from ltmc_jobs.llm import minilm
from ltmc_jobs.settings import Settings


class Embedder(Protocol):
    """Turns texts into vectors whose inner product is their likeness."""

    @property
    def model(self) -> str:
        """The name recorded with every vector; vectors of two names never meet in one index."""

    @property
    def dimension(self) -> int:
        """Length of a vector."""

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """Encode texts, shape (n, dimension), unit norm, in their order; tokens beyond the model's limit are cut."""


def open_embedder(settings: Settings, *, model: str | None = None, threads: int = 1) -> Embedder:
    """Load the embedder that the settings name, or another one, on 1 or 2 threads; Misconfigured if it cannot run."""
    configured = minilm.canonical(settings.embedding_model)
    name = minilm.canonical(model or configured)
    bundled = name == minilm.MODEL
    if settings.embedding_backend == "openvino" and not bundled and name == configured:
        raise Misconfigured(
            f"EMBEDDING_BACKEND=openvino runs {minilm.MODEL} only, not {settings.embedding_model!r}: "
            "set EMBEDDING_BACKEND to auto or sentence-transformers"
        )
    if bundled and _prefers_openvino(settings.embedding_backend):
        from ltmc_jobs.llm.embedding_openvino import OpenvinoEmbedder

        return OpenvinoEmbedder(settings.home / "models", threads=threads)
    from ltmc_jobs.llm.embedding_sentence_transformers import SentenceTransformersEmbedder

    if bundled:
        return SentenceTransformersEmbedder(str(minilm.check(minilm.folder())), name=minilm.MODEL, threads=threads)
    return SentenceTransformersEmbedder(name, name=name, threads=threads)


def _prefers_openvino(backend: str) -> bool:
    """OpenVINO where it may run: 2 to 4 times as fast as torch on a CPU, a tenth of its memory."""
    if backend == "auto":
        return find_spec("openvino") is not None or find_spec("sentence_transformers") is None
    return backend == "openvino"
