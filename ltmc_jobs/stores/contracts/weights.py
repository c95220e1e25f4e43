"""WeightTable: the weights of a search that a project has set for itself."""

from __future__ import annotations

from typing import Protocol


class WeightTable(Protocol):
    """Weights by kind of memory: (meaning, words, neighbours)."""

    def read(self, project: str) -> dict[str, tuple[float, float, float]]:
        """The kinds that the project has weights of its own for."""

    def write(self, project: str, kind: str, weights: tuple[float, float, float] | None) -> None:
        """Set the weights of a kind; None goes back to the built-in ones."""

    def close(self) -> None: ...
