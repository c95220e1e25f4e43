"""Vector rows by the text that they were made of, and the change of all of them to another model."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt


def digest_of(text: str) -> str:
    """What tells an embedded text from all others."""
    return hashlib.blake2b(text.encode(), digest_size=16).hexdigest()


class VectorRows(Protocol):
    """Vector rows, where the records are."""

    def known(self, digests: Iterable[str], *, model: str) -> dict[str, npt.NDArray[np.float32]]:
        """The stored vectors of texts, of this model: they need not be made again."""

    def note_texts(self, texts: Iterable[tuple[int, str]]) -> None:
        """Note of which text the vectors of chunks were made."""

    def target(self) -> str | None:
        """The model to which all vectors are being changed; None if they are not."""

    def begin(self, model: str) -> None:
        """Begin to change all vectors to a model, or go on with it; what was made for another one goes."""

    def remaining(self, *, after: int, limit: int) -> list[tuple[int, str]]:
        """Chunks above an id that have a vector and no new one, with their texts, by id."""

    def add(self, rows: Sequence[tuple[int, str, npt.NDArray[np.float32]]]) -> None:
        """Keep new vectors of chunks beside those in use; of chunks that are gone, nothing."""

    def progress(self) -> tuple[int, int]:
        """How many new vectors there are, and of how many."""

    def switch(self) -> bool:
        """Put the new vectors in the place of the others, in one transaction; False while any is missing."""

    def close(self) -> None: ...
