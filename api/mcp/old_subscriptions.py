"""Subscriptions of clients before 2026-07-28: told on the connection itself, or over HTTP on the session's stream."""

from __future__ import annotations

import asyncio
import json
from collections import OrderedDict
from collections.abc import AsyncGenerator

import mcp_types as types
from starlette.requests import Request

from api.mcp.asking import Asking, Context
from api.mcp.old_sessions import SESSION_ID
from api.mcp.watching import LIST, Watched, Watching
from ltmc_jobs.session import Session

MOST_SESSIONS = 10_000
ALIVE_SECONDS = 30.0  # a comment now and then keeps proxies from ending the stream
UPDATED = "notifications/resources/updated"


class OldSubscriptions:
    """resources/subscribe and resources/unsubscribe, and the streams that tell."""

    def __init__(self, asking: Asking, watching: Watching) -> None:
        self._asking = asking
        self._watching = watching
        self._watched: OrderedDict[str, Watched] = OrderedDict()
        self._telling: asyncio.Task[None] | None = None

    async def subscribe(self, ctx: Context, params: types.SubscribeRequestParams) -> types.EmptyResult:
        """Tell of this URI from now on."""
        session, watched = self._asking.session(ctx), self._of(self._session_of(ctx))
        await self._watching.add(session, watched, [params.uri])
        if not isinstance(ctx.request, Request) and self._telling is None:
            self._telling = asyncio.create_task(self._tell(ctx, session, watched))
        return types.EmptyResult()

    async def unsubscribe(self, ctx: Context, params: types.UnsubscribeRequestParams) -> types.EmptyResult:
        """Tell no more of it."""
        self._of(self._session_of(ctx)).forget(params.uri)
        return types.EmptyResult()

    async def events(self, named: str, session: Session) -> AsyncGenerator[str]:
        """What a session's GET stream says, as events; until nobody reads it, or this process ends."""
        watched = self._of(named)
        draining = asyncio.ensure_future(self._asking.client_of().draining.wait())
        changes = self._watching.changed(session, watched)
        coming = asyncio.ensure_future(anext(changes))
        try:
            yield ": open\r\n\r\n"
            while not draining.done():
                await asyncio.wait({coming, draining}, timeout=ALIVE_SECONDS, return_when=asyncio.FIRST_COMPLETED)
                if coming.done():
                    uri = coming.result()
                    coming = asyncio.ensure_future(anext(changes))
                    if uri != LIST:
                        told = {"jsonrpc": "2.0", "method": UPDATED, "params": {"uri": uri}}
                        yield f"event: message\r\ndata: {json.dumps(told)}\r\n\r\n"
                elif not draining.done():
                    yield ": still here\r\n\r\n"
        finally:
            for task in (coming, draining):
                task.cancel()
            await asyncio.gather(coming, draining, return_exceptions=True)
            await changes.aclose()

    async def _tell(self, ctx: Context, session: Session, watched: Watched) -> None:
        """To a client that is a process beside this one, for as long as it is there."""
        async for uri in self._watching.changed(session, watched):
            if uri != LIST:
                params = types.ResourceUpdatedNotificationParams(uri=uri)
                await ctx.session.send_notification(types.ResourceUpdatedNotification(params=params))

    def _of(self, named: str) -> Watched:
        watched = self._watched.setdefault(named, Watched())
        self._watched.move_to_end(named)
        while len(self._watched) > MOST_SESSIONS:
            self._watched.popitem(last=False)
        return watched

    def _session_of(self, ctx: Context) -> str:
        return str(ctx.request.scope.get(SESSION_ID)) if isinstance(ctx.request, Request) else ""
