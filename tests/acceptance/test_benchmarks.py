"""Every benchmark runs, quickly, and writes rows that say what was measured."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from benchmarks.retrieval_peers.own import own

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "benchmarks"
# What has a main is run by itself; the rest is what they share.
NAMES = sorted(file.stem for file in FOLDER.glob("*.py") if "def main(" in file.read_text())
# The performance rows that an issue is held to, and the benchmark that carries their ids.
CARRIED = {
    "calls": {"P02", "P04", "P05", "P06", "P08"},
    "first_call": {"P02", "P03", "P04"},
    "queues": {"P09", "P13", "P14", "Y08"},
    "vectors": {"P03", "P07", "M11"},
}


def run(name: str, arguments: Sequence[str], seconds: float) -> str:
    command = [sys.executable, "-m", f"benchmarks.{name}", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=seconds, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_says_how_it_is_run(name: str) -> None:
    said = run(name, ["--help"], 30)
    assert all(option in said for option in ("--quick", "--json", f"python -m benchmarks.{name}"))


@pytest.mark.benchmark
@pytest.mark.timeout(400)
@pytest.mark.parametrize("name", NAMES)
def test_a_benchmark_writes_rows(name: str, tmp_path: Path) -> None:
    run(name, ["--quick", "--json", str(tmp_path / "rows.json")], 380)
    rows = json.loads((tmp_path / "rows.json").read_text())
    assert all(row.keys() == {"case", "system", "metric", "value", "unit"} for row in rows)
    assert all(isinstance(row["value"], int | float) and row["value"] > 0 for row in rows)
    assert "ltmc" in {row["system"] for row in rows}
    assert CARRIED.get(name, set()) <= {row["case"].split()[0] for row in rows}


def test_the_readme_names_every_benchmark() -> None:
    told = (FOLDER / "README.md").read_text()
    assert all(f"python -m benchmarks.{name}" in told for name in NAMES)


def test_the_answers_to_our_own_questions_stand_in_our_documents() -> None:
    """Whoever changes a document mends the question about it: `own` refuses what is no longer said."""
    assert sum(len(room.questions) for room in own().rooms) == 40
