"""subscriptions/listen: one stream that tells of the tasks, jobs and documents that a client names.

Nobody polls: what becomes of a job is heard, and looked at again when it was not heard for a while.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from contextlib import ExitStack, aclosing
from typing import Any, Literal

import mcp_types as types
from mcp.shared.exceptions import MCPError
from mcp.shared.subscriptions import SUBSCRIPTION_ID_META_KEY

from api.mcp.answers import JOB_URI
from api.mcp.asking import Asking
from api.mcp.capabilities import can, require
from api.mcp.task_states import told_task
from api.mcp.watching import LIST, Watched, Watching
from api.mcp.wire import Context
from ltmc_jobs.client import Client
from ltmc_jobs.errors import LtmcError, NotFound
from ltmc_jobs.session import Session

MOST_JOBS = 100  # in one stream
MOST_STREAMS = 1024


class TaskNotification(types.Notification[dict[str, Any], Literal["notifications/tasks"]]):
    """What has become of a task; all of it."""

    method: Literal["notifications/tasks"] = "notifications/tasks"
    params: dict[str, Any]


class Listening:
    """Serves the streams."""

    def __init__(self, asking: Asking, watching: Watching) -> None:
        self._asking = asking
        self._watching = watching
        self._streams = 0

    async def listen(
        self, ctx: Context, params: types.SubscriptionsListenRequestParams
    ) -> types.SubscriptionsListenResult:
        """Tell until the client goes away, or this process ends."""
        if self._streams >= MOST_STREAMS:
            raise MCPError(types.INTERNAL_ERROR, "too many streams; end one of them")
        self._streams += 1
        try:
            return await self._listen(ctx, params)
        finally:
            self._streams -= 1

    async def _listen(
        self, ctx: Context, params: types.SubscriptionsListenRequestParams
    ) -> types.SubscriptionsListenResult:
        session, client = self._asking.session(ctx), self._asking.client_of()
        wanted = params.notifications
        tasks = _named((wanted.model_extra or {}).get("taskIds"))
        if tasks:
            require(ctx, ["tasks"])
        uris = [uri for uri in wanted.resource_subscriptions or () if uri.startswith(JOB_URI)]
        if len({*tasks, *(uri.removeprefix(JOB_URI) for uri in uris)}) > MOST_JOBS:
            raise MCPError(types.INVALID_PARAMS, f"at most {MOST_JOBS} tasks and jobs in one stream")
        known = await self._known(session, client, tasks, [uri.removeprefix(JOB_URI) for uri in uris])
        meta: dict[str, Any] = {SUBSCRIPTION_ID_META_KEY: ctx.request_id}
        watched = Watched()
        documents = [uri for uri in wanted.resource_subscriptions or () if uri not in uris]
        await self._watching.add(session, watched, documents)
        stream = Stream(ctx, session, client, meta, {one for one in tasks if one in known}, can(ctx, "tasks"))
        with ExitStack() as ears:
            for job_id in known:
                ears.enter_context(client.shared.async_queue.hearing(job_id, stream.ear(job_id)))
            changes = self._watching.changed(session, watched) if documents or wanted.resources_list_changed else None
            await stream.acknowledge(wanted, [uri for uri in uris if uri.removeprefix(JOB_URI) in known])
            for job_id in known:
                await client.shared.async_queue.watch(job_id)
                stream.changed(job_id)  # as it stands now
            telling = asyncio.create_task(stream.tell_changes(changes, lists=bool(wanted.resources_list_changed)))
            try:
                await stream.tell_all()
            finally:
                telling.cancel()
                await asyncio.gather(telling, return_exceptions=True)
        return types.SubscriptionsListenResult(_meta=meta)

    async def _known(self, session: Session, client: Client, *named: Iterable[str]) -> set[str]:
        """Those of the caller's own; of others nothing is said, not even that they are there."""
        known = set()
        for job_id in {job_id for ids in named for job_id in ids}:
            try:
                known.add((await client.job(session, job_id)).id)
            except NotFound:
                continue
        return known


class Stream:
    """One client's stream: each job's changes in their order, several that came at once as one."""

    def __init__(
        self, ctx: Context, session: Session, client: Client, meta: dict[str, Any], tasks: set[str], of_tasks: bool
    ) -> None:
        self._ctx = ctx
        self._session = session
        self._client = client
        self._meta = meta
        self._tasks = tasks if of_tasks else set()
        self._uris: dict[str, str] = {}
        self._changed: dict[str, None] = {}
        self._woken = asyncio.Event()
        self._last: dict[str, Any] = {}

    def ear(self, job_id: str) -> Any:
        """What hears of a job."""
        return lambda word, _text: self.changed(job_id) if word != "log" else None

    def changed(self, job_id: str) -> None:
        """It may be otherwise than it was told."""
        self._changed[job_id] = None
        self._woken.set()

    async def acknowledge(self, wanted: types.SubscriptionFilter, uris: list[str]) -> None:
        """Say what will be told; the first word of the stream."""
        self._uris = {uri.removeprefix(JOB_URI): uri for uri in uris}
        honoured: dict[str, Any] = {
            name: True
            for name in ("toolsListChanged", "promptsListChanged", "resourcesListChanged")
            if wanted.model_dump(by_alias=True).get(name)
        }
        honoured |= {"taskIds": sorted(self._tasks)} if self._tasks else {}
        honoured |= (
            {"resourceSubscriptions": list(wanted.resource_subscriptions)} if wanted.resource_subscriptions else {}
        )
        told = {"notifications": honoured, "_meta": self._meta}
        params = types.SubscriptionsAcknowledgedNotificationParams.model_validate(told)
        await self._send(types.SubscriptionsAcknowledgedNotification(params=params))

    async def tell_all(self) -> None:
        """Until this process ends."""
        ending = asyncio.create_task(self._client.draining.wait())
        try:
            while not ending.done():
                waking = asyncio.create_task(self._woken.wait())
                try:
                    await asyncio.wait({waking, ending}, return_when=asyncio.FIRST_COMPLETED)
                finally:
                    waking.cancel()
                self._woken.clear()
                while self._changed:
                    job_id = next(iter(self._changed))
                    del self._changed[job_id]
                    await self._tell(job_id)
        finally:
            ending.cancel()

    async def tell_changes(self, changes: AsyncGenerator[str] | None, *, lists: bool) -> None:
        """Tell of documents that have changed, and if `lists` that their list has."""
        if changes is None:
            return
        async with aclosing(changes):
            async for uri in changes:
                if uri != LIST:
                    await self._tell_update(uri)
                elif lists:
                    params = types.NotificationParams.model_validate({"_meta": self._meta})
                    await self._send(types.ResourceListChangedNotification(params=params))

    async def _tell(self, job_id: str) -> None:
        try:
            shown = told_task(await self._client.job(self._session, job_id))
        except LtmcError:
            return  # it has expired, or cannot be asked for now: the next word of it asks again
        same = {name: value for name, value in shown.items() if name != "pollIntervalMs"}
        if self._last.get(job_id) == same:
            return
        self._last[job_id] = same
        if job_id in self._tasks:
            await self._send(TaskNotification(params=shown | {"_meta": self._meta}))
        if job_id in self._uris:
            await self._tell_update(self._uris[job_id])

    async def _tell_update(self, uri: str) -> None:
        params = types.ResourceUpdatedNotificationParams.model_validate({"uri": uri, "_meta": self._meta})
        await self._send(types.ResourceUpdatedNotification(params=params))

    async def _send(self, notification: Any) -> None:
        await self._ctx.session.send_notification(notification, related_request_id=self._ctx.request_id)


def _named(given: Any) -> list[str]:
    """Ids of tasks; MCPError for what are none."""
    if given is None:
        return []
    if not isinstance(given, list) or len(given) > MOST_JOBS or not all(isinstance(one, str) for one in given):
        raise MCPError(types.INVALID_PARAMS, f"taskIds: a list of at most {MOST_JOBS} ids")
    return given
