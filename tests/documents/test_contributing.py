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
            shutil.copy2(ROOT / name, tmp_path / name)
    if (ROOT / ".mypy_cache").exists():  # with its files' times kept, the checker reads only what is new
        shutil.copytree(ROOT / ".mypy_cache", tmp_path / ".mypy_cache")
    return tmp_path


def test_the_recipes_work_as_they_stand(copy: Path) -> None:
    """Q04, Q07: their tests pass, and so do the types and the lint of what they add."""
    added: list[str] = []
    tests: list[str] = []
    for name, count in RECIPES.items():
        files, edits = recipe(name)
        assert len(files) + len(edits) == count + 1, name
        for path, content in files:
            (copy / path).parent.mkdir(parents=True, exist_ok=True)
            (copy / path).write_text(content)
            (tests if path.startswith("tests/") else added).append(path)
        for path, diff in edits:
            (copy / path).write_text(patched((copy / path).read_text(), diff))
    for command in (["pytest", "-q", "-W", "error", *tests], ["ruff", "check", *added], ["mypy", "--strict", *added]):
        done = subprocess.run(
            [sys.executable, "-m", *command], cwd=copy, capture_output=True, text=True, timeout=110, check=False
        )
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    backend = recipe("Add a store backend")[0][0][1]
    assert len(backend.splitlines()) < 100, "an example that fits on a page"
