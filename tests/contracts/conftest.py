"""What the contract suites share: every backend of a role, opened in a directory of the test's own."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from redis import Redis

from ltmc_jobs.stores.contracts import ChunkText, Document, Graph, Records, Version
from ltmc_jobs.stores.graph_neo4j import Neo4jGraph
from ltmc_jobs.stores.graph_sqlite import SqliteGraph
from ltmc_jobs.stores.records_sqlite import SqliteRecords
from tests.bolt import Bolt
from tests.contracts.stage import Stage

ROOT = Path(__file__).parents[2]
DIMENSION = 16

OpenRecords = Callable[[], Records]


class Writer:
    """Stores whole documents the way the jobs do, so that a test can say what it means in one line."""

    def __init__(self, records: Records) -> None:
        self.records = records

    def record(
        self, file_name: str, content: str, *, project: str = "default", job_id: str | None = None, **more: Any
    ) -> Version:
        """Record a document, one chunk a line."""
        document = Document(project=project, file_name=file_name, content=content, **more)
        return self.records.record(document, lines(content), job_id=job_id or uuid.uuid4().hex)

    def embed(self, version: Version, seed: int | None = None) -> None:
        """Give each chunk a vector; the seed decides which, by default the chunk's id."""
        vectors = [(chunk, unit(chunk if seed is None else seed + n)) for n, chunk in enumerate(version.chunk_ids)]
        self.records.add_vectors(vectors, model="test-model")

    def store(
        self, file_name: str, content: str, *, project: str = "default", seed: int | None = None, **more: Any
    ) -> Version:
        """Record, embed and publish."""
        version = self.record(file_name, content, project=project, **more)
        self.embed(version, seed)
        assert self.records.publish(version.resource_id, version.version)
        return version


def lines(content: str) -> list[ChunkText]:
    """One chunk a line, with its offsets."""
    chunks, start = [], 0
    for line in content.splitlines(keepends=True):
        chunks.append(ChunkText(line, start, start + len(line)))
        start += len(line)
    return chunks


def unit(seed: int, dimension: int = DIMENSION) -> npt.NDArray[np.float32]:
    """A unit vector that a seed makes, the same everywhere."""
    vector = np.random.default_rng(seed).standard_normal(dimension).astype(np.float32)
    return vector / np.float32(np.linalg.norm(vector))


def start_python(program: str, *arguments: object) -> subprocess.Popen[str]:
    """Another process of ours, which talks over its pipes."""
    return subprocess.Popen(
        [sys.executable, "-c", program, *map(str, arguments)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    )


@pytest.fixture
def memory_file(tmp_path: Path) -> Path:
    """Where the memory of this test is."""
    return tmp_path / "home" / "ltmc.db"


@pytest.fixture(params=["sqlite"])
def open_records(request: pytest.FixtureRequest, memory_file: Path) -> Iterator[OpenRecords]:
    """Open the test's records, as often as wanted: each time as another process would."""
    opened: list[Records] = []
    backends: dict[str, OpenRecords] = {"sqlite": lambda: SqliteRecords(memory_file)}

    def open_another() -> Records:
        opened.append(backends[request.param]())
        return opened[-1]

    yield open_another
    for records in opened:
        records.close()


@pytest.fixture
def records(open_records: OpenRecords) -> Records:
    """Empty records."""
    return open_records()


@pytest.fixture
def writer(records: Records) -> Writer:
    """Stores documents in the test's records."""
    return Writer(records)


@pytest.fixture(params=["sqlite", "neo4j"])
def graph(request: pytest.FixtureRequest, memory_file: Path) -> Iterator[Graph]:
    """A graph on each backend; take a project of your own, the server may be shared."""
    made: Graph
    if request.param == "sqlite":
        made = SqliteGraph(memory_file)
    else:
        bolt: Bolt = request.getfixturevalue("neo4j_server")
        made = Neo4jGraph(bolt.uri, user="neo4j", password=bolt.password)
    yield made
    made.close()


@pytest.fixture
def stage(redis_url: str) -> Iterator[Stage]:
    """An empty server, and its schedule."""
    with Redis.from_url(redis_url) as connection:
        yield Stage(connection)
