"""Times as they are taken, and the rows that they become."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import numpy as np


class Samples:
    """Milliseconds by part, asked for by percentile."""

    def __init__(self) -> None:
        self.taken: defaultdict[str, list[float]] = defaultdict(list)

    def add(self, **seconds: float) -> None:
        for name, value in seconds.items():
            self.taken[name].append(value * 1000)

    def __call__(self, name: str, percentile: float) -> float:
        return float(np.percentile(self.taken[name], percentile))


class Rows:
    """What was measured: case, system, metric, value, unit."""

    def __init__(self) -> None:
        self.rows: list[dict[str, Any]] = []

    def add(self, case: str, metric: str, value: float, unit: str = "ms", *, system: str = "ltmc") -> None:
        row = {"case": case, "system": system, "metric": metric, "value": round(value, 4), "unit": unit}
        self.rows.append(row)
        print(f"{case:40} {system:11} {metric:24} {value:10.2f} {unit}", flush=True)

    def held(self, case: str, metric: str, value: float, target: float, unit: str = "ms") -> None:
        """A figure and what it is held to."""
        self.add(case, metric, value, unit)
        self.add(case, metric, target, unit, system="target")
