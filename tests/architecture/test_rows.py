"""Every capability that this version holds itself to is proved by a test, or a benchmark's row, that carries its id."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
HELD = {
    "T": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 15, 16, 17, 19, 20],
    "A": [*range(1, 29), 30],
    "M": [1, 2, 3, 4, 5, 6, 7, 8, 10, 11, 12, 13],
    "J": [1, 2, 3, 9, 10, 11, 12, 13, 14, 15, 16, 17, 23, 25, 26],
    "V": [6, 7, 8, 9, 21, 23, 25],
    "Y": [1, 2, 3, 4, 5, 6, 7, 8],
    "N": [1, 2, 3, 4, 5, 6, 8],
    "D": [1, 2, 4, 5, 6, 10, 11],
    "X": [1, 7, 9, 12, 13],
    "Q": [1, 2, 3, 4, 5, 6, 7, 8],
    "P": [2, 3, 4, 5, 6, 7, 8, 9, 13, 14],
}


def test_each_row_has_its_proof() -> None:
    files = [*(ROOT / "tests").rglob("test_*.py"), *(ROOT / "benchmarks").rglob("*.py")]
    text = "\n".join(path.read_text() for path in files if path != Path(__file__)).upper()
    named = set(re.findall(r"(?<![A-Z0-9])[A-Z]\d\d(?!\d)", text))
    assert {f"{family}{number:02}" for family, numbers in HELD.items() for number in numbers} <= named
