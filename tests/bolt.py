"""The real Neo4j, for every test that needs one: the one named in the environment, else one beside the project."""

from __future__ import annotations

import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from ltmc_jobs.errors import StoreUnavailable
from ltmc_jobs.stores.graph_neo4j import Neo4jGraph
from tests.waiting import free_port, wait_until

ROOT = Path(__file__).parents[1]
NEO4J_SERVE = ROOT.parent / "shared" / "neo4j" / "serve"
NO_NEO4J = "Neo4j: no server beside the project and no LTMC_TEST_NEO4J_URI"


class Bolt(NamedTuple):
    """Where a Neo4j is, for a test."""

    uri: str
    password: str


@pytest.fixture(scope="session")
def neo4j_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bolt]:
    """A Neo4j: the one named in the environment, else one started from beside the project, else a skip by name."""
    if uri := os.environ.get("LTMC_TEST_NEO4J_URI"):
        yield Bolt(uri, os.environ.get("LTMC_TEST_NEO4J_PASSWORD", ""))
        return
    if not NEO4J_SERVE.exists() or shutil.which("java") is None:
        # On a machine that must have one, a skipped suite would look like a passed one.
        (pytest.fail if os.environ.get("CI") else pytest.skip)(NO_NEO4J)
    yield from _serve_neo4j(tmp_path_factory.mktemp("neo4j"))


def _serve_neo4j(home: Path) -> Iterator[Bolt]:
    bolt = Bolt(f"bolt://127.0.0.1:{(port := free_port())}", secrets.token_hex(12))
    command = [str(NEO4J_SERVE), "--home", str(home), "--port", str(port), "--password", bolt.password]
    with (home / "output").open("w+") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True)

        def ready() -> bool:
            assert process.poll() is None, (home / "output").read_text()
            try:
                Neo4jGraph(bolt.uri, user="neo4j", password=bolt.password).close()
            except StoreUnavailable:
                return False
            return True

        try:
            wait_until(ready, seconds=90, what="Neo4j answers")
            yield bolt
        finally:
            # Its data goes with the test run: nothing is gained by the ten seconds of an orderly stop.
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
