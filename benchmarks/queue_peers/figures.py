"""Figures of several rounds, and the table of their medians."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from statistics import median

from benchmarks.rows import Rows

Measured = tuple[str, str, str]  # case, metric, unit


class Figures:
    """What each round measured, by case, metric and system."""

    def __init__(self) -> None:
        self._taken: defaultdict[Measured, defaultdict[str, list[float]]] = defaultdict(lambda: defaultdict(list))

    def take(self, system: str, case: str, metric: str, value: float, unit: str) -> None:
        self._taken[case, metric, unit][system].append(value)

    def median(self, system: str, case: str, metric: str) -> float:
        """Over the rounds; KeyError if it was not measured."""
        for (one, other, _), systems in self._taken.items():
            if (one, other) == (case, metric) and system in systems:
                return median(systems[system])
        raise KeyError((system, case, metric))

    def write(self, rows: Rows) -> None:
        for (case, metric, unit), systems in self._taken.items():
            for system, values in systems.items():
                rows.add(case, metric, median(values), unit, system=system)

    def table(self, systems: Sequence[str]) -> str:
        """Markdown: a line for each figure; behind each of a peer's how many times it is ours."""
        ours, *peers = systems
        head = ["case", "figure", ours, *(f"{peer} (ours/its)" for peer in peers)]
        lines = [head, ["---", "---", *("---:" for _ in systems)]]
        for (case, metric, unit), found in self._taken.items():
            own = median(found[ours]) if ours in found else None
            cells = [_shown(own)]
            for peer in peers:
                its = median(found[peer]) if peer in found else None
                times = f" ({_shown(own / its)}×)" if own is not None and its else ""
                cells.append(_shown(its) + times)
            lines.append([case, metric if unit in metric else f"{metric}, {unit}", *cells])
        widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
        return "\n".join(
            f"| {' | '.join(cell.ljust(width) for cell, width in zip(line, widths, strict=True))} |" for line in lines
        )


def _shown(value: float | None) -> str:
    if value is None:
        return "–"
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"
