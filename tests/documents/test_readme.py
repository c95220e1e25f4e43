"""Every command of the README, run as it stands against a platform of the test's own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import clean_environment, free_port

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(sh|python)\n(.*?)^```", TEXT, re.M | re.S)
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A home and ports of the test's own; whatever the README started is stopped at the end."""
    home = tmp_path_factory.mktemp("readme") / "home"
    made = clean_environment(home, HTTP_PORT=free_port(), REDIS_PORT=free_port(), LTMC_WORKERS=2)
    yield made
    subprocess.run([sys.executable, "-m", "workers", "stop"], env=made, cwd=ROOT, check=False, timeout=60)


def test_the_readme_has_commands() -> None:
    languages = [language for language, _ in BLOCKS]
    assert languages.count("sh") >= 6
    assert languages.count("python") == 2


def test_every_command_of_the_readme_works(environment: dict[str, str]) -> None:
    """D06, T04: in their order, each with exit code 0; curl's answers hold no error."""
    said = []
    for language, block in BLOCKS:
        code = block.replace("localhost:5050", f"localhost:{environment['HTTP_PORT']}")
        code = code.replace(".venv/bin/ltmc ", f"{sys.executable} -m api.cli ")
        command = [sys.executable, "-c", code] if language == "python" else ["bash", "-euo", "pipefail", "-c", code]
        if language == "sh" and "./start_workers.sh" in code and not os.access(ROOT / ".venv" / "bin", os.X_OK):
            command[-1] = code.replace("./start_workers.sh", f"{sys.executable} -m workers")
        done = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=110, check=False
        )
        assert done.returncode == 0, f"{code}\n{done.stdout}\n{done.stderr}"
        assert '"error":{' not in done.stdout.replace(" ", ""), f"{code}\n{done.stdout}"
        said.append(done.stdout)
    everything = "\n".join(said)
    assert "Bees dance" in everything
    assert "Moss drinks from fog." in everything
    assert "Spring tides" in everything
    own = next(
        said for said in everything.splitlines() if '"query": "what happens to a job whose worker dies?"' in said
    )
    found = " ".join(chunk["content"] for chunk in json.loads(own)["retrieved_chunks"])
    assert "starts another within a second" in found
    assert '"status":"healthy"' in everything
    assert "stopped" in said[-1]


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_links_lead_somewhere(document: Path) -> None:
    """Relative links in a document name files that exist."""
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", document.read_text()):
        assert (document.parent / target).exists(), f"{document.name} links to {target}"


def test_what_the_documents_name_exists() -> None:
    """Modules, variables and commands that the documents spell in code type."""
    from api.cli import main
    from tests.conftest import setting_variables

    text = "\n".join(path.read_text() for path in DOCUMENTS)
    for command in set(re.findall(r"`(?:\.venv/bin/)?ltmc ([a-z-]+)", text)):
        assert command in main.commands or main.get_command(None, command) is not None, command  # type: ignore[arg-type]
    for name in set(re.findall(r"`(LTMC_[A-Z_]+)", text)):
        assert name in setting_variables() | {"LTMC_TORCH", "LTMC_DATA"}, name
    for path in set(re.findall(r"`((?:ltmc_jobs|workers|api|tests|queues|memory)/[\w/]+(?:\.\w+)?)", text)):
        options = [ROOT / path, ROOT / "ltmc_jobs" / path]
        found = any(option.exists() or option.with_suffix(".py").exists() for option in options)
        assert found or path in TEXT_OF_RECIPES, path


TEXT_OF_RECIPES = re.findall(r"^`([\w/.]+)`:$", (ROOT / "CONTRIBUTING.md").read_text(), re.M)
