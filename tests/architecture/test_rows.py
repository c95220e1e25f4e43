"""Every capability that this version holds itself to is proved by a test, or a benchmark's row, that carries its id."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
HELD = [
    "T01",
    "T02",
    "T03",
    "T04",
    "T05",
    "T06",
    "T07",
    "T09",
    "T11",
    "T12",
    "T13",
    "T15",
    "T16",
    "T17",
    "A01",
    "A02",
    "M01",
    "M02",
    "M03",
    "M04",
    "M06",
    "M07",
    "M08",
    "M10",
    "M13",
    "J01",
    "J10",
    "J12",
    "J15",
    "V06",
    "V07",
    "V08",
    "V09",
    "V21",
    "V23",
    "V25",
    "N01",
    "N02",
    "N03",
    "N04",
    "N05",
    "N06",
    "D01",
    "D02",
    "D04",
    "D05",
    "D06",
    "X01",
    "X09",
    "X13",
    "Q01",
    "Q02",
    "Q03",
    "Q04",
    "Q07",
    "P02",
    "P03",
    "P04",
]


def test_each_row_has_its_proof() -> None:
    files = [*(ROOT / "tests").rglob("test_*.py"), *(ROOT / "benchmarks").glob("*.py")]
    text = "\n".join(path.read_text() for path in files if path != Path(__file__))
    assert [row for row in HELD if not re.search(rf"\b{row}\b", text, re.IGNORECASE)] == []
