"""Corpus: a project's documents as links see them: by name, by number, each as one vector, each beside its next."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class StoredDocument:
    """A document's names."""

    resource_id: int
    file_name: str
    resource_type: str


class Corpus(Protocol):
    """Documents of a project; another project's are not there."""

    def named(self, project: str, file_names: Iterable[str]) -> dict[str, StoredDocument]:
        """Documents by their names, those that are there."""

    def numbered(self, project: str, resource_ids: Iterable[int]) -> dict[int, StoredDocument]:
        """Documents by their ids, those that are there."""

    def types(self, project: str) -> list[str]:
        """The types that the documents of a project have, or had."""

    def holders(self, chunk_ids: Iterable[int]) -> dict[int, int]:
        """The document that each chunk is of, by the ids of both; without chunks that are gone."""

    def vectors(self, resource_ids: Iterable[int]) -> dict[int, npt.NDArray[np.float32]]:
        """The direction that the vectors of a document's visible chunks have in common, of length 1.

        Documents that have no vectors yet are left out.
        """

    def texts(self, resource_ids: Iterable[int]) -> dict[int, str]:
        """Whole documents, as they were stored last."""

    def beside(self, resource_id: int, version: int) -> tuple[str | None, str | None]:
        """The names of the documents before and after this one in its conversation."""

    def close(self) -> None: ...
