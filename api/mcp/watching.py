"""Watching: which of the resources that a client subscribed to have changed, and whether their list has."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Collection
from contextlib import ExitStack, suppress
from typing import Any

from api.mcp.answers import JOB_URI
from api.mcp.asking import Asking
from ltmc_jobs import offers
from ltmc_jobs.client import Client
from ltmc_jobs.errors import LtmcError
from ltmc_jobs.orchestration.changes import Changes
from ltmc_jobs.session import Session

GATHER_SECONDS = 0.3  # changes that come together are told together
WATCHED = 200  # URIs of one client; further ones are not told of
TOPIC = "memory"
LIST = ""  # in place of a URI: the list of documents


class Watched:
    """What one client watches; it may grow and shrink while somebody tells of it."""

    def __init__(self) -> None:
        self.seen: dict[str, str | None] = {}  # by URI, what the client knows; None for what is no document
        self.wakers: set[asyncio.Event] = set()

    def forget(self, uri: str) -> None:
        """Watch it no more."""
        self.seen.pop(uri, None)


class Watching:
    """One per server: hears of changes through one subscription, whatever the number of clients."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking
        self._changes: Changes | None = None

    async def add(self, session: Session, watched: Watched, uris: Collection[str]) -> None:
        """Watch these too, as they stand now."""
        new = [uri for uri in uris if uri not in watched.seen][: WATCHED - len(watched.seen)]
        marks = await self._marks(session, new)
        watched.seen |= {uri: marks.get(uri) for uri in new}
        for waker in watched.wakers:
            waker.set()

    async def changed(self, session: Session, watched: Watched) -> AsyncGenerator[str]:
        """URIs that stand for something else than the client knows, and LIST for the list of documents, endlessly."""
        client = self._asking.client_of()
        if self._changes is None:
            self._changes = Changes(client.shared.async_redis)
        woken = asyncio.Event()
        stirred: dict[str, None] = {}
        heard = False

        def hear(topics: frozenset[str]) -> None:
            nonlocal heard
            heard = heard or TOPIC in topics
            if not topics or TOPIC in topics:
                woken.set()

        watched.wakers.add(woken)
        try:
            with self._changes.hearing(session.project, hear), ExitStack() as ears:
                followed: set[str] = set()
                while True:
                    for uri in {uri for uri in watched.seen if uri.startswith(JOB_URI)} - followed:
                        followed.add(uri)
                        await self._follow(client, session, uri, ears, stirred, woken)
                    await woken.wait()
                    await asyncio.sleep(GATHER_SECONDS)
                    woken.clear()
                    if heard:
                        heard = False
                        yield LIST
                    now = await self._marks(session, watched.seen)
                    stirred |= {uri: None for uri, mark in now.items() if watched.seen.get(uri, mark) != mark}
                    watched.seen |= {uri: mark for uri, mark in now.items() if uri in watched.seen}
                    while stirred:
                        uri = next(iter(stirred))
                        del stirred[uri]
                        if uri in watched.seen:
                            yield uri
        finally:
            watched.wakers.discard(woken)

    async def _follow(
        self,
        client: Client,
        session: Session,
        uri: str,
        ears: ExitStack,
        stirred: dict[str, None],
        woken: asyncio.Event,
    ) -> None:
        """Hear what becomes of a job of the session's project."""
        job_id = uri.removeprefix(JOB_URI)

        def hear(word: str, _text: str) -> None:
            if word not in ("log", "progress"):
                stirred[uri] = None
                woken.set()

        with suppress(LtmcError):
            await client.job(session, job_id)
            ears.enter_context(client.shared.async_queue.hearing(job_id, hear))
            await client.shared.async_queue.watch(job_id)

    async def _marks(self, session: Session, uris: Collection[str]) -> dict[str, str]:
        """By the URI of a document: what changes whenever it does."""
        asked = {uri: found for uri in uris if (found := offers.resource_at(uri)) is not None}
        ids = {uri: said["resource_id"] for uri, (one, said) in asked.items() if one.tool == "read_resource"}
        names = {uri: said["file_name"] for uri, (one, said) in asked.items() if one.tool == "read_document"}
        if not ids and not names:
            return {}
        wanted: dict[str, Any] = {"resource_ids": [*ids.values()], "file_names": [*names.values()]}
        with suppress(LtmcError):  # the next change asks again
            result = (await self._asking.client_of().call("document_marks", wanted, session)).result or {
                "by_id": {},
                "by_name": {},
            }
            by_id = {uri: result["by_id"].get(str(number), "") for uri, number in ids.items()}
            return by_id | {uri: result["by_name"].get(name, "") for uri, name in names.items()}
        return {}
