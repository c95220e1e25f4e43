"""A whole platform of the tests' own: started as a user starts it, on free ports, with a home of its own."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest

from tests.conftest import clean_environment, free_port

ROOT = Path(__file__).parents[2]
START_SECONDS = 90


@dataclass(frozen=True)
class Platform:
    """Where it is, and how to call it."""

    env: dict[str, str]
    url: str
    home: Path

    @classmethod
    def at(cls, home: Path, **variables: object) -> Platform:
        """One of this home, on free ports; not started yet."""
        port = free_port()
        given: dict[str, object] = {"HTTP_PORT": port, "REDIS_PORT": free_port(), "LTMC_WORKERS": 2, **variables}
        env = clean_environment(home, PYTHONPATH=ROOT, PYTHONSAFEPATH=1, NO_COLOR=1, **given)
        return cls(env, f"http://localhost:{port}", home)

    def workers(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run `python -m workers …` to its end; the test fails with its words unless it succeeds."""
        done = self._run([sys.executable, "-m", "workers", *arguments], "", START_SECONDS)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def ltmc(self, *arguments: object, stdin: str = "", seconds: float = 110) -> subprocess.CompletedProcess[str]:
        """Run `ltmc …` to its end."""
        return self._run(ltmc_command(arguments), stdin, seconds)

    def _run(self, command: list[str], stdin: str, seconds: float) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            env=self.env,
            cwd=self.home.parent,  # not the checkout, as for a user
            input=stdin,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )


def ltmc_command(arguments: Sequence[object]) -> list[str]:
    """The command line of this checkout, wherever it is run."""
    return [sys.executable, "-m", "api.cli", *map(str, arguments)]


@pytest.fixture(scope="session")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A running platform for the whole session; tests keep apart by projects."""
    made = Platform.at(tmp_path_factory.mktemp("platform") / "home")
    made.workers("start", "--detach")
    yield made
    made.workers("stop")


@pytest.fixture(scope="session")
def two_fronts(platform: Platform) -> Iterator[httpx.Client]:
    """The platform behind two front ends that are asked by turns, without any affinity."""
    from tests.acceptance.turns import by_turns  # it needs this module

    with by_turns(platform) as opened:
        yield opened


@pytest.fixture
def own_platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Platform]]:
    """`own_platform(VARIABLE=…)`: one that is not started, and stopped if the test starts it."""
    made: list[Platform] = []

    def make(**variables: object) -> Platform:
        made.append(Platform.at(tmp_path_factory.mktemp("own") / "home", **variables))
        return made[-1]

    yield make
    for platform in made:
        platform.workers("stop")
        shutil.rmtree(platform.home, ignore_errors=True)


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The measuring data, read where it stands: LTMC_DATA, else beside the project. Without it the test is skipped."""
    folder = Path(os.environ.get("LTMC_DATA") or ROOT.parent / "shared" / "data")
    if not (folder / "chunking" / "questions.jsonl").exists():
        pytest.skip(f"chunking/questions.jsonl is not in {folder}; set LTMC_DATA to the folder that has it")
    return folder
