"""Put a backup back into a home, and look through one.

Everything is unpacked, checked and loaded in a folder of its own within the home first; only then does it take the
place of what was there, which is kept beside it. A damaged archive, or one that does not fit, changes nothing.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ltmc_jobs.errors import Conflict, Misconfigured
from ltmc_jobs.private_files import make_private, own
from ltmc_jobs.settings import Settings
from ltmc_jobs.shared import checked_address
from ltmc_jobs.stores import graph_copy
from ltmc_jobs.stores.schema import STEPS
from ltmc_jobs.stores.sqlite_copy import check_copy, forget_indexes, row_counts
from workers import supervisor, writer
from workers.copies import contents, redis_state
from workers.copies.archive import Archive
from workers.copies.backup import connected
from workers.copies.progress import shown
from workers.ports import any_free
from workers.server import EmbeddedServer, ping


def verify(file: Path) -> dict[str, Any]:
    """Look whether a backup is whole, down to each row's page; what it holds, or Conflict."""
    with Archive(file) as archive, tempfile.TemporaryDirectory(prefix="ltmc-verify-") as folder:
        _unpack(archive, Path(folder))
        return {"file": str(file), "whole": True, "bytes": file.stat().st_size} | _told(archive)


def put_back(settings: Settings, file: Path, *, force: bool) -> dict[str, Any]:
    """Restore a backup into LTMC_HOME; with `force` into one that is in use, whose memory is then kept beside it."""
    home = settings.home
    with Archive(file) as archive, ExitStack() as stack:
        _check_fits(settings, archive)
        if (running := supervisor.running(settings)) is not None:
            raise Conflict(f"the platform runs (pid {running.supervisor.pid}): stop it first, ./start_workers.sh stop")
        is_used = any(place.exists() for place in contents.places(settings))
        if is_used and not force:
            raise Conflict(f"{home} is in use; with --force what is there is moved aside")
        make_private(home)
        make_private(settings.run_directory)
        stack.enter_context(own(settings.run_directory / "platform.lock"))
        stack.enter_context(_no_workers(settings))
        if settings.redis_directory.exists():
            stack.enter_context(own(settings.redis_directory / "lock"))
        staging = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=".restoring-", dir=home)))
        _unpack(archive, staging)
        if (staging / contents.RECORDS).exists():
            forget_indexes(staging / contents.RECORDS)
        _check_servers(settings, archive, force=force)
        if settings.redis_is_embedded:
            _load_embedded(settings, staging)
        aside = home / f"before-restore-{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
        _load_servers(settings, staging, aside)
        _swap(settings, staging, aside)
        return {"home": str(home), "aside": str(aside) if aside.exists() else None} | _told(archive)


def differing_settings(settings: Settings, manifest: dict[str, Any]) -> list[str]:
    """A line for each variable that was set to something else where the backup was made."""
    there, here = manifest.get("settings", {}), contents.shown_settings(settings)
    return [
        f"{name}: {there.get(name, 'not set')} there, {here.get(name, 'not set')} here"
        for name in sorted(there.keys() | here.keys())
        if there.get(name) != here.get(name)
    ]


def _told(archive: Archive) -> dict[str, Any]:
    names = ("taken_at", "counts", "needs", "versions", "settings")
    return {name: archive.manifest.get(name) for name in names}


def _check_fits(settings: Settings, archive: Archive) -> None:
    """Misconfigured where this program or these settings cannot take it."""
    schema = int(archive.manifest.get("versions", {}).get("schema", 0))
    if schema > len(STEPS):
        raise Misconfigured(f"the backup has schema {schema}, this program knows {len(STEPS)}: install a newer version")
    for field in contents.SECRETS:
        name = contents.variable(field)
        missing = name in archive.manifest.get("needs", []) and getattr(settings, field) is None
        if missing and (field != "neo4j_password" or contents.has_graph(settings)):
            raise Misconfigured(f"where the backup was made, {name} stood in the environment: set it here too")
    if (contents.GRAPH in archive.parts) != contents.has_graph(settings):
        there, here = ("a Neo4j", "SQLite") if contents.GRAPH in archive.parts else ("SQLite", "a Neo4j")
        raise Misconfigured(f"the backup's graph was in {there}, here it is in {here}: set NEO4J_URI as it was")
    if contents.REDIS in archive.parts and not settings.redis_enabled:
        raise Misconfigured("the backup holds jobs, and Redis is switched off here (REDIS_ENABLED=false)")


def _unpack(archive: Archive, folder: Path) -> None:
    """Write all parts into a folder, compared with their checksums, and count what is in them."""
    if shutil.disk_usage(folder).free < archive.total_bytes:
        raise Misconfigured(f"{folder.parent} has too little room: {archive.total_bytes:,} bytes are needed")
    known = {contents.RECORDS, contents.LOCAL, contents.REDIS, contents.GRAPH, *contents.FILES}
    if not archive.parts.keys() <= known:
        raise Conflict(f"{archive.path} is damaged, or no backup: it holds parts of other names")
    told = archive.manifest.get("counts", {})
    for name in archive.parts:
        target = folder / name
        target.parent.mkdir(mode=0o700, exist_ok=True)
        with shown(f"unpacking {name}", if_many=name not in contents.FILES) as tick:
            archive.unpack(name, target, tick)
        if name.endswith(".db"):
            check_copy(target)
            found: dict[str, Any] = row_counts(target)
        elif name == contents.REDIS:
            found = redis_state.counts(target) | {"waiting": told.get("redis", {}).get("waiting")}
        else:
            continue
        if found != told.get(name.partition(".")[0]):
            raise Conflict(f"{archive.path} is damaged: {name} holds other counts than its manifest")


@contextmanager
def _no_workers(settings: Settings) -> Iterator[None]:
    """Conflict while workers that were started by themselves write into this home."""
    lock = writer.become(settings, wait=False)
    if lock is None:
        raise Conflict(f"workers write into {settings.home}: stop them first")
    try:
        yield
    finally:
        os.close(lock)


def _check_servers(settings: Settings, archive: Archive, *, force: bool) -> None:
    """Conflict where a server of the user's holds an installation's state, unless it is to be replaced."""
    if contents.REDIS in archive.parts and not settings.redis_is_embedded:
        checked_address(settings)
        ping(settings)
        with connected(settings) as connection:
            if not force and redis_state.our_keys(connection):
                raise Conflict(f"Redis at {settings.redis_shown()} is in use; with --force its jobs are moved aside")
    if contents.GRAPH in archive.parts and not force and graph_copy.count(settings)["nodes"]:
        raise Conflict(f"the graph at {settings.graph_address} is in use; with --force it is moved aside")


def _load_embedded(settings: Settings, staging: Path) -> None:
    """Make the embedded server's data in the staging folder, with a server that runs for as long as this takes."""
    if not (staging / contents.REDIS).exists():
        return
    apart = settings.model_copy(update={"home": staging, "redis_port": any_free()})
    with EmbeddedServer(apart), connected(apart) as connection, shown("loading the jobs"):
        redis_state.put_back(connection, staging / contents.REDIS)
    for name in ("lock", "valkey.conf", "valkey.pid"):
        (apart.redis_directory / name).unlink(missing_ok=True)


def _load_servers(settings: Settings, staging: Path, aside: Path) -> None:
    """Load what is a server's: Redis and the graph; what they held before is kept in files first."""
    if (staging / contents.REDIS).exists() and not settings.redis_is_embedded:
        with connected(settings) as connection, shown("loading the jobs"):
            before = None
            if redis_state.our_keys(connection):
                make_private(aside)
                before = aside / contents.REDIS
                redis_state.write_to(connection, before)
                redis_state.remove(connection)
            try:
                redis_state.put_back(connection, staging / contents.REDIS)
            except Conflict:
                redis_state.remove(connection)
                if before is not None:
                    redis_state.put_back(connection, before)
                raise
    if (staging / contents.GRAPH).exists():
        with shown("loading the graph"):
            if graph_copy.count(settings)["nodes"]:
                make_private(aside)
                graph_copy.write_to(settings, aside / contents.GRAPH)
                graph_copy.remove(settings)
            graph_copy.put_back(settings, staging / contents.GRAPH)


def _swap(settings: Settings, staging: Path, aside: Path) -> None:
    """Move what is there aside, and what was staged into its place: renames alone, within a disk."""
    for place in contents.places(settings):
        if not place.exists():
            continue
        make_private(aside)
        target = place.with_name(f"{place.name}.{aside.name}")
        if place.is_relative_to(settings.home):
            target = aside / place.relative_to(settings.home)
            make_private(target.parent)
        place.rename(target)
    # Journals of workers that are gone would tell of jobs that, in the backup, have not ended.
    for entry in settings.run_directory.iterdir():
        if entry.name not in ("platform.lock", "vectors.lock"):
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    for name in (*contents.FILES, contents.LOCAL, "redis", contents.RECORDS):
        staged = staging / name
        target = settings.records_file if name == contents.RECORDS else settings.home / name
        if staged.exists() and name != contents.PASSWORD and (name != "redis" or settings.redis_is_embedded):
            make_private(target.parent)
            shutil.move(staged, target)  # DB_PATH may be on another disk
    _sync(settings.home)


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
