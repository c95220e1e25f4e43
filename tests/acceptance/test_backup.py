"""`ltmc backup` and `ltmc restore`: taken under load, put back elsewhere, as docs/operations.md has it."""

from __future__ import annotations

import json
import re
import shlex
import sqlite3
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import ROOT, Platform
from tests.acceptance.front import web_of
from tests.conftest import wait_until

OPERATIONS = (ROOT / "docs" / "operations.md").read_text()


PACE_SECONDS = 0.1
ANIMALS = ("otter", "heron", "badger", "lynx", "toad", "raven", "mole")
PLACES = (
    "harbour",
    "bakery",
    "observatory",
    "vineyard",
    "quarry",
    "theatre",
    "glacier",
    "market",
    "mill",
    "orchard",
    "dam",
)
FOODS = ("plums", "rye bread", "oysters", "honey", "chestnuts")


def sentence(writer: int, count: int) -> str:
    """One that no other document of the first 385 has."""
    words = ANIMALS[count % 7], PLACES[count % 11], FOODS[count % 5]
    return f"The {words[0]} at the {words[1]} eats {words[2]} with {('Ada', 'Ben', 'Cleo')[writer % 3]}."


class Writer(threading.Thread):
    """Stores one document after the other; notes when each was acknowledged."""

    def __init__(self, platform: Platform, number: int) -> None:
        super().__init__(daemon=True)
        self.acknowledged: dict[str, datetime] = {}
        self.number = number
        self._url = platform.url
        self._ended = threading.Event()

    def run(self) -> None:
        with web_of(self._url, headers={"X-LTMC-Project": "copied"}) as web:
            count = 0
            while not self._ended.is_set():
                name = f"note-{self.number}-{count}.md"
                # Every third call returns with the handle of a job that waits, the others with a recorded document.
                wait = 0 if count % 3 == 0 else 20
                note = {"file_name": name, "content": sentence(self.number, count)}
                answer = web.post(f"/tools/store_memory?wait={wait}", json=note)
                assert answer.status_code in (200, 202), answer.text
                self.acknowledged[name] = datetime.now(UTC)
                count += 1
                self._ended.wait(PACE_SECONDS)

    def end(self) -> None:
        self._ended.set()
        self.join(30)


@contextmanager
def writers(platform: Platform, count: int) -> Iterator[list[Writer]]:
    made = [Writer(platform, number) for number in range(count)]
    for writer in made:
        writer.start()
    try:
        yield made
    finally:
        for writer in made:
            writer.end()


def rows(home: Path, statement: str) -> list[Any]:
    with closing(sqlite3.connect(home / "ltmc.db")) as database:
        return database.execute(statement).fetchall()


def states(home: Path) -> dict[str, str]:
    """State of the newest version of each document of the project, by its name."""
    found = rows(
        home,
        "SELECT r.file_name, v.state FROM resources r JOIN resource_versions v ON v.resource_id = r.id "
        "WHERE r.project = 'copied' ORDER BY v.version",
    )
    return dict(found)


def is_linked(home: Path, names: set[str]) -> bool:
    return names <= {name for name, state in states(home).items() if state == "linked"}


def told(platform: Platform, *arguments: object) -> dict[str, Any]:
    done = platform.ltmc(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    shown: dict[str, Any] = json.loads(done.stdout)
    return shown


@pytest.mark.timeout(300)
def test_what_operations_md_says(platform: Platform, own_platform: Callable[..., Platform], tmp_path: Path) -> None:
    """D11: the documented commands: taken under load, checked, put back elsewhere; what was acknowledged is there.

    What was acknowledged before the backup began is in it, done or waiting, and counts are equal.
    """
    section = re.search(r"^## Backups\n.*?^```sh\n(.*?)^```", OPERATIONS, re.M | re.S)
    assert section is not None
    lines = [line.replace("/backups", str(tmp_path)) for line in section[1].splitlines()]
    take, verify, stop, restore, start = [shlex.split(line, comments=True)[1:] for line in lines]

    with writers(platform, 2) as made:
        wait_until(lambda: all(len(writer.acknowledged) > 5 for writer in made), 60, "documents are being stored")
        taken = told(platform, *take)
        wait_until(lambda: all(len(writer.acknowledged) > 8 for writer in made), 60, "storing went on")
    file = Path(taken["file"])
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert [entry.name for entry in tmp_path.iterdir()] == [file.name], "nothing is left beside it"
    moment = datetime.fromisoformat(taken["taken_at"])
    before = {name for writer in made for name, at in writer.acknowledged.items() if at < moment}
    assert len(before) > 10
    assert told(platform, *verify)["counts"] == taken["counts"]

    other = own_platform()
    other.home.mkdir(mode=0o700)
    (other.home / "token").write_text("of before")
    assert other.ltmc(*stop).returncode == 0
    restored = told(other, *restore)
    assert restored["counts"] == taken["counts"]
    assert (Path(restored["aside"]) / "token").read_text() == "of before"
    for table in ("resources", "resource_chunks", "vectors", "graph_nodes", "graph_edges"):
        assert rows(other.home, f"SELECT count(*) FROM {table}") == [(taken["counts"]["records"][table],)]  # noqa: S608
    assert (other.home / "signing.key").read_text() == (platform.home / "signing.key").read_text()

    assert other.ltmc(*start, "--detach").returncode == 0
    wait_until(partial(is_linked, other.home, before), 60, "all is linked")
    again = (
        "SELECT count(*) FROM resource_versions v JOIN resources r ON r.id = v.resource_id WHERE r.project = 'copied'"
    )
    assert rows(other.home, f"{again} AND v.version > 1") == [(0,)], "nothing was stored twice"
    with web_of(other.url, headers={"X-LTMC-Project": "copied"}) as web:
        for name in sorted(before)[::5]:
            asked = {"query": sentence(*map(int, re.findall(r"\d+", name))), "top_k": 3}
            hits = web.post("/tools/retrieve_memory?wait=45", json=asked).json()["retrieved_chunks"]
            assert name in {hit["file_name"] for hit in hits}


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_under_much_load(own_platform: Callable[..., Platform], tmp_path: Path) -> None:
    """D11: again and again, with everything at its limits."""
    platform = own_platform(LTMC_WORKERS=4)
    platform.workers("start", "--detach")
    files = [tmp_path / f"{turn}.backup" for turn in range(5)]

    def stored(least: int, made: list[Writer]) -> bool:
        return all(len(writer.acknowledged) >= least for writer in made)

    with writers(platform, 8) as made:
        for turn, file in enumerate(files):
            wait_until(partial(stored, 40 * (turn + 1), made), 60, "documents are being stored")
            told(platform, "backup", file)
    for file in files:
        moment = datetime.fromisoformat(told(platform, "backup", "--verify", file)["taken_at"])
        before = {name for writer in made for name, at in writer.acknowledged.items() if at < moment}
        other = own_platform()
        told(other, "restore", file)
        other.workers("start", "--detach")
        wait_until(partial(is_linked, other.home, before), 100, "all is linked")
        other.workers("stop")
