"""Texts to vectors. Touches no store: any host with the key and the model may do it."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import numpy.typing as npt

from ltmc_jobs.errors import ModelMismatch
from ltmc_jobs.services import Services


def embed_texts(services: Services, texts: list[str], model: str) -> dict[str, Any]:
    """`{model, count, dimension, vectors}`; vectors are little-endian float32 rows, base64."""
    if services.tiers.model != model:
        raise ModelMismatch(
            f"this worker's EMBEDDING_MODEL is {services.tiers.model!r}, the memory's is {model!r}: set it alike"
        )
    vectors = services.tiers.embedder.encode(texts)
    return {
        "model": model,
        "count": len(texts),
        "dimension": int(vectors.shape[1]),
        "vectors": base64.b64encode(vectors.astype("<f4").tobytes()).decode(),
    }


def decoded(result: dict[str, Any]) -> npt.NDArray[np.float32]:
    """The vectors of such a result, shape (count, dimension)."""
    flat = np.frombuffer(base64.b64decode(result["vectors"]), dtype="<f4")
    return flat.reshape(int(result["count"]), int(result["dimension"])).astype(np.float32)
