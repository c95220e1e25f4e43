"""The three recipes of CONTRIBUTING.md, followed to the letter in a copy of the project."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "CONTRIBUTING.md").read_text()
RECIPES = {"Add a tool": 1, "Add a store backend": 2, "Add a job kind": 2}  # files to write, less the test


def recipe(name: str) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
    """The files that a section writes, and the lines that it adds: (path, content), (path, diff)."""
    section = TEXT.split(f"## {name}\n")[1].split("\n## ")[0]
    files = re.findall(r"^`([\w/.]+)`:\n\n```python\n(.*?)^```", section, re.M | re.S)
    edits = re.findall(r"^In `([\w/.]+)`, one line:\n\n```diff\n(.*?)^```", section, re.M | re.S)
    return files, edits


def patched(text: str, diff: str) -> str:
    """The text with the diff's one new line after the line before it."""
    before, added = "", ""
    for line in diff.splitlines(keepends=True):
        if line.startswith("+"):
            added = line[1:]
            break
        before = line[1:]
    assert text.count(before) == 1, before
    return text.replace(before, before + added)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """The project's files, as git knows them."""
    listed = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "ltmc_jobs", "workers", "api", "tests", "pyproject.toml"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in listed.stdout.splitlines():
        if (ROOT / name).exists():
            (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, tmp_path / name)
    return tmp_path


@pytest.mark.parametrize("name", RECIPES)
def test_a_recipe_works_as_it_stands(copy: Path, name: str) -> None:
    """Q04, Q07: its test passes, and so do the types and the lint of what was added."""
    files, edits = recipe(name)
    assert len(files) + len(edits) == RECIPES[name] + 1
    for path, content in files:
        (copy / path).parent.mkdir(parents=True, exist_ok=True)
        (copy / path).write_text(content)
    for path, diff in edits:
        (copy / path).write_text(patched((copy / path).read_text(), diff))
    test = files[-1][0]
    added = [path for path, _ in files if not path.startswith("tests/")]
    for command in (
        ["pytest", "-q", "-W", "error", test],
        ["ruff", "check", *added],
        ["mypy", "--strict", *added],
    ):
        done = subprocess.run(
            [sys.executable, "-m", *command], cwd=copy, capture_output=True, text=True, timeout=110, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    if name == "Add a store backend":
        assert len(files[0][1].splitlines()) < 100, "an example that fits on a page"
