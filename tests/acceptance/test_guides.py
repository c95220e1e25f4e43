"""The guides for deployment, tuning and troubleshooting: every sample in them, run as it stands."""

from __future__ import annotations

import configparser
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.conftest import ROOT, Platform
from tests.conftest import free_port

GUIDES = ("deployment", "tuning", "troubleshooting")
COMMANDS = {"ltmc": f"{sys.executable} -m api.cli ", "python": f"{sys.executable} "}
BLOCKS = re.compile(r"^```(\w*)\n(.*?)^```", re.M | re.S)


def blocks(guide: str) -> list[tuple[str, str]]:
    """Language and content of each sample."""
    return BLOCKS.findall((ROOT / "docs" / f"{guide}.md").read_text())


@pytest.mark.parametrize("guide", GUIDES)
def test_q08_q06_every_command_of_a_guide_works(platform: Platform, guide: str, tmp_path: Path) -> None:
    """Q06, Q08: each with exit code 0, in its order, against a running platform."""
    commands = [block for language, block in blocks(guide) if language == "sh"]
    assert len(commands) >= 2
    second = str(free_port())
    for block in commands:
        code = block.replace("http://localhost:5050", platform.url).replace("5055", second)
        code = re.sub(r"\.venv/bin/(ltmc|python) ", lambda found: COMMANDS[found[1]], code)
        done = subprocess.run(
            ["bash", "-euo", "pipefail", "-c", code],
            cwd=ROOT,
            env=platform.env | {"TMPDIR": str(tmp_path)},
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"
        if "my-question" not in code:
            assert '"error":{' not in done.stdout.replace(" ", ""), f"{code}\n{done.stdout}"
    if guide == "troubleshooting":
        assert '"field": "query"' in done.stdout, "the log has the refusal under its id"


def test_q08_the_unit_starts_what_is_there() -> None:
    """Q08: the systemd unit's parts, and the script and the options that it names."""
    (unit,) = (block for language, block in blocks("deployment") if language == "ini")
    parsed = configparser.ConfigParser(interpolation=None)
    parsed.optionxform = str  # type: ignore[assignment, method-assign]
    parsed.read_string(unit)
    assert parsed.sections() == ["Unit", "Service", "Install"]
    script, command = parsed["Service"]["ExecStart"].split()
    found = ROOT / Path(script).relative_to(parsed["Service"]["WorkingDirectory"])
    assert os.access(found, os.X_OK)
    assert re.search(rf"^  {command} ", found.read_text(), re.M)
    assert float(parsed["Service"]["TimeoutStopSec"]) > 28, "longer than a worker may take to stop"


def test_q08_the_guides_are_linked() -> None:
    """Q08: from the README, and each from a guide beside it."""
    text = (ROOT / "README.md").read_text() + (ROOT / "docs" / "operations.md").read_text()
    for guide in (*GUIDES, "api"):
        assert f"{guide}.md)" in text, guide
    assert all(language for guide in GUIDES for language, _ in blocks(guide)), "a sample without a language"
