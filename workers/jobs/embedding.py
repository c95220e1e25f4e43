"""Texts to vectors. Touches no store: any host with the key and the model may do it."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import numpy.typing as npt

from ltmc_jobs.errors import ModelMismatch
from ltmc_jobs.services import Services


def embed_texts(services: list[Services], arguments: list[dict[str, Any]]) -> list[dict[str, Any] | Exception]:
    """Per job `{model, count, dimension, vectors}`; vectors are little-endian float32 rows, base64.

    The texts of jobs that were claimed together are embedded together: the model fills its batches.
    """
    own = services[0].tiers.model
    fits = [job["model"] == own for job in arguments]
    texts = [text for job, fit in zip(arguments, fits, strict=True) if fit for text in job["texts"]]
    vectors = services[0].tiers.embedder.encode(texts) if texts else np.empty((0, 0), np.float32)
    results: list[dict[str, Any] | Exception] = []
    start = 0
    for job, fit in zip(arguments, fits, strict=True):
        if not fit:
            words = f"this worker's EMBEDDING_MODEL is {own!r}, the memory's is {job['model']!r}: set it alike"
            results.append(ModelMismatch(words))
            continue
        rows = vectors[start : start + len(job["texts"])]
        start += len(rows)
        results.append(
            {
                "model": own,
                "count": len(rows),
                "dimension": int(rows.shape[1]),
                "vectors": base64.b64encode(rows.astype("<f4").tobytes()).decode(),
            }
        )
    return results


def decoded(result: dict[str, Any]) -> npt.NDArray[np.float32]:
    """The vectors of such a result, shape (count, dimension)."""
    flat = np.frombuffer(base64.b64decode(result["vectors"]), dtype="<f4")
    return flat.reshape(int(result["count"]), int(result["dimension"])).astype(np.float32)
