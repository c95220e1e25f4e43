"""Texts to vectors. Touches no store: any host with the key and the model may do it."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
import numpy.typing as npt

from ltmc_jobs.errors import LtmcError, ModelMismatch
from ltmc_jobs.services import Services
from ltmc_jobs.stores.contracts import digest_of


def embed_texts(services: list[Services], arguments: list[dict[str, Any]]) -> list[dict[str, Any] | Exception]:
    """Per job `{model, count, digests, dimension, vectors}`; vectors are little-endian float32 rows, base64.

    The texts of jobs that were claimed together are embedded together: the model fills its batches.
    """
    results: list[dict[str, Any] | Exception] = [ModelMismatch() for _ in arguments]
    for model in dict.fromkeys(job["model"] for job in arguments):
        places = [place for place, job in enumerate(arguments) if job["model"] == model]
        for place, result in zip(places, _embedded(services[0], model, [arguments[n] for n in places]), strict=True):
            results[place] = result
    return results


def _embedded(services: Services, model: str, jobs: list[dict[str, Any]]) -> list[dict[str, Any] | Exception]:
    """Jobs of one model: the configured one, or one whose vectors are being replaced by that one's."""
    try:
        embedder = services.tiers.embedder_of(model)
    except LtmcError as error:
        own = services.tiers.configured_model
        if model == own:
            return [error for _ in jobs]
        words = f"this worker's EMBEDDING_MODEL is {own!r}, the memory's is {model!r}: set it alike"
        return [ModelMismatch(words) for _ in jobs]
    vectors = embedder.encode([text for job in jobs for text in job["texts"]])
    results: list[dict[str, Any] | Exception] = []
    start = 0
    for job in jobs:
        rows = vectors[start : start + len(job["texts"])]
        start += len(rows)
        results.append(
            {
                "model": model,
                "count": len(rows),
                "digests": [digest_of(text) for text in job["texts"]],
                "dimension": embedder.dimension,
                "vectors": base64.b64encode(rows.astype("<f4").tobytes()).decode(),
            }
        )
    return results


def decoded(result: dict[str, Any]) -> npt.NDArray[np.float32]:
    """The vectors of such a result, shape (count, dimension)."""
    flat = np.frombuffer(base64.b64decode(result["vectors"]), dtype="<f4")
    return flat.reshape(int(result["count"]), int(result["dimension"])).astype(np.float32)
