"""Take a backup of an installation, while it runs or while it is stopped.

Writes to Redis are held while the state of the queue is read and the snapshot of the records begins: the backup is of
one moment. A job that had ended by then has left its results in the records, which are copied as they stood then; one
that had not is copied as a job, runs again where the backup is restored, and finds by its id what it had already done.
The graph of a Neo4j is read last, so that whatever the records call linked is in it.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import redis
from redis import Redis

from ltmc_jobs import __version__
from ltmc_jobs.errors import LtmcError, Misconfigured, QueueUnavailable
from ltmc_jobs.private_files import make_private, own
from ltmc_jobs.settings import Settings
from ltmc_jobs.shared import checked_address
from ltmc_jobs.stores import graph_copy
from ltmc_jobs.stores.schema import STEPS
from ltmc_jobs.stores.sqlite_copy import SqliteSnapshot, row_counts
from workers import supervisor
from workers.copies import contents, redis_state
from workers.copies.archive import Draft
from workers.copies.progress import shown
from workers.copies.reading import Reading
from workers.ports import any_free
from workers.server import EmbeddedServer, ping


def take(settings: Settings, place: Path) -> dict[str, Any]:
    """Write a backup to a file, or into a folder under a name of its own; `{file, bytes, taken_at, counts, …}`."""
    if not settings.records_url.startswith("sqlite:"):
        raise Misconfigured("RECORDS_URL: only records in SQLite can be backed up so")
    if not settings.records_file.exists() and not settings.redis_directory.exists():
        raise Misconfigured(f"there is no memory in {settings.home} (LTMC_HOME)")
    named = datetime.now(UTC).strftime("ltmc-%Y%m%dT%H%M%SZ.backup")
    file = (place / named if place.is_dir() else place).absolute()
    if file.exists():
        raise Misconfigured(f"{file} is there already; name another file, or a folder")
    make_private(settings.run_directory)
    lock = own(settings.run_directory / "backup.lock")  # of two, the first to end would let the other's writes go on
    draft = Draft(file)
    try:
        # Beside it: whoever has room for the backup has room for its parts, more or less.
        with tempfile.TemporaryDirectory(prefix=f".{file.name}.", dir=file.parent) as folder:
            manifest = _collect(settings, draft, Path(folder))
        size = draft.finish(manifest)
    except OSError as error:
        raise LtmcError(f"the backup could not be written to {file.parent}: {error.strerror}") from error
    finally:
        draft.discard()
        lock.close()
    return {"file": str(file), "bytes": size} | {name: manifest[name] for name in ("taken_at", "counts", "needs")}


def _collect(settings: Settings, draft: Draft, folder: Path) -> dict[str, Any]:
    """Fill an archive; its manifest."""
    counts: dict[str, Any] = {}
    versions = {"ltmc": __version__, "sqlite": sqlite3.sqlite_version, "schema": len(STEPS)}
    with ExitStack() as stack:
        connection = stack.enter_context(_redis(settings)) if settings.redis_enabled else None
        reading = None
        if connection is not None:
            with shown("reading Redis"):
                reading = Reading(connection, folder)
            stack.callback(reading.close)
        with ExitStack() as held:
            taken_at = datetime.now(UTC)
            if connection is not None:
                held.enter_context(redis_state.writes_held(connection))
            snapshots = _snapshots(settings, stack)
            if connection is not None and reading is not None:
                reading.settle()
                waiting = redis_state.waiting(connection)
        if connection is not None and reading is not None:
            reading.write_to(folder / contents.REDIS)
            versions["redis"] = str(connection.info("server").get("redis_version"))
            counts["redis"] = {**redis_state.counts(folder / contents.REDIS), "waiting": waiting}
        for name, snapshot in snapshots.items():
            with shown(f"copying {name}") as tick:
                snapshot.write_to(folder / name, tick)
            snapshot.close()
            counts[name.removesuffix(".db")] = row_counts(folder / name)
    if contents.has_graph(settings):
        with shown("copying the graph"):
            counts["graph"] = graph_copy.write_to(settings, folder / contents.GRAPH)
    for name in contents.FILES:
        if (settings.home / name).exists():
            with shown(name, if_many=False) as tick:
                draft.add(name, settings.home / name, tick)
    for part in sorted(folder.iterdir()):
        with shown(f"packing {part.name}") as tick:
            draft.add(part.name, part, tick)
        part.unlink()
    return {
        "taken_at": taken_at.isoformat(timespec="milliseconds"),
        "versions": versions,
        "counts": counts,
        "settings": contents.shown_settings(settings),
        "needs": contents.lacking(settings),
    }


def _snapshots(settings: Settings, stack: ExitStack) -> dict[str, SqliteSnapshot]:
    found: dict[str, SqliteSnapshot] = {}
    for name, file in {contents.RECORDS: settings.records_file, contents.LOCAL: settings.home / contents.LOCAL}.items():
        if file.exists():
            found[name] = SqliteSnapshot(file)
            stack.callback(found[name].close)
    return found


@contextmanager
def _redis(settings: Settings) -> Iterator[Redis]:
    """The installation's Redis; where it is the embedded one and stopped, it runs for as long as this takes."""
    with ExitStack() as stack:
        if settings.redis_is_embedded and supervisor.running(settings) is None:
            settings = settings.model_copy(update={"redis_port": any_free()})
            stack.enter_context(EmbeddedServer(settings))
        else:
            checked_address(settings)
            ping(settings)
        connection = stack.enter_context(connected(settings))
        yield connection


@contextmanager
def connected(settings: Settings) -> Iterator[Redis]:
    """The Redis that the settings name; QueueUnavailable if it is lost meanwhile."""
    # A single connection, and the older protocol: what is told of changes is told to one, between its answers.
    options: dict[str, Any] = {"single_connection_client": True, "protocol": 2, "socket_timeout": 30}
    with Redis.from_url(settings.redis_address(), socket_connect_timeout=2, **options) as connection:
        try:
            yield connection
        except (redis.ConnectionError, redis.TimeoutError) as error:
            raise QueueUnavailable(f"Redis at {settings.redis_shown()} was lost: {error}") from None
