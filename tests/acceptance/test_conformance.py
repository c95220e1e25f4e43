"""MCP's official conformance suite on /mcp: what a revision requires, each fixture a job in the queue."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.acceptance.conftest import Platform
from tests.acceptance.node import TOOLS, environment, program

REVISIONS = ["2026-07-28", "2025-11-25"]
RESULT = re.compile(r"^([✓✗]) (\S+): (\d+) passed, (\d+) failed", re.MULTILINE)
UNSCORED = re.compile(r"^  ([✓✗]) (\S+) \((\S+)\)", re.MULTILINE)
# Of what the suite runs without scoring it: extensions are ours to pass too.
EXTENSIONS = "extension"
SECONDS = 300


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, subprocess.Popen[str]]]:
    """Both revisions' runs, begun at once against one platform."""
    place = tmp_path_factory.mktemp("conformance")
    made = Platform.at(place / "home", LTMC_TOOLS=",".join(map(str, TOOLS)))
    made.workers("start", "--detach")
    started = {revision: begin(made, revision, place) for revision in REVISIONS}
    yield started
    for process in started.values():
        process.kill()
        process.communicate()
    made.workers("stop")


def begin(platform: Platform, revision: str, place: Path) -> subprocess.Popen[str]:
    """Start the suite for one revision."""
    command = [*program("conformance"), "server", "--url", f"{platform.url}/mcp", "--requirements", revision]
    command += ["-o", str(place / revision)]  # no --expected-failures: there are none
    pipe = subprocess.PIPE
    return subprocess.Popen(
        command, env=environment(place), cwd=place, stdout=pipe, stderr=subprocess.STDOUT, text=True
    )


@pytest.mark.timeout(SECONDS + 60)
@pytest.mark.parametrize("revision", REVISIONS)
def test_every_required_scenario_passes(runs: dict[str, subprocess.Popen[str]], revision: str) -> None:
    """T05: and the extensions that the suite only reports."""
    told, _ = runs[revision].communicate(timeout=SECONDS)
    unscored = {name: (mark, why) for mark, name, why in UNSCORED.findall(told)}
    results = {name: (mark, int(passed)) for mark, name, passed, _ in RESULT.findall(told)}
    failed = [name for name, (mark, _) in results.items() if mark == "✗" and name not in unscored]
    failed += [name for name, (mark, why) in unscored.items() if mark == "✗" and why == EXTENSIONS]
    assert failed == [], told[told.index("=== SUMMARY") :]
    assert len(results) - len(unscored) >= 30
    assert runs[revision].returncode == 0, told[-2000:]
