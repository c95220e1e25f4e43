"""Every capability that this version holds itself to is proved by a test, or a benchmark's row, that carries its id."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
HELD = {
    "T": [1, 2, 3, 4, 5, 6, 7, 9, 11, 12, 13, 15, 16, 17],
    "A": [1, 2],
    "M": [1, 2, 3, 4, 6, 7, 8, 10, 13],
    "J": [1, 10, 12, 15],
    "V": [6, 7, 8, 9, 21, 23, 25],
    "N": [1, 2, 3, 4, 5, 6],
    "D": [1, 2, 4, 5, 6],
    "X": [1, 9, 13],
    "Q": [1, 2, 3, 4, 7],
    "P": [2, 3, 4],
}


def test_each_row_has_its_proof() -> None:
    files = [*(ROOT / "tests").rglob("test_*.py"), *(ROOT / "benchmarks").glob("*.py")]
    text = "\n".join(path.read_text() for path in files if path != Path(__file__)).upper()
    named = set(re.findall(r"(?<![A-Z0-9])[A-Z]\d\d(?!\d)", text))
    assert {f"{family}{number:02}" for family, numbers in HELD.items() for number in numbers} <= named
