"""Relay: what a job tells, to the caller that waits: each step and line, and now and then that it goes on."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import ExitStack, suppress
from typing import Any

import mcp_types as types

from api.mcp.wire import Context, wants_lines, wants_progress
from ltmc_jobs.client import Client
from ltmc_jobs.errors import LtmcError

BEAT_SECONDS = 5.0  # hosts give up a call that is silent for 60 s; half of the promised 10 s
LAST_WORDS_SECONDS = 2.0
TINY = 1e-6  # what tells the next number of progress from the last where the work itself has not moved


class Relay:
    """Follows one job at a time, from before it is enqueued; `async with` ends when all that was told has been sent."""

    def __init__(self, ctx: Context, client: Client) -> None:
        self._ctx = ctx
        self._client = client
        self._steps, self._lines = wants_progress(ctx), wants_lines(ctx)
        self._heard: asyncio.Queue[tuple[str, str] | None] = asyncio.Queue()
        self._hearing = ExitStack()
        self._telling: asyncio.Task[None] | None = None
        self._started = time.monotonic()
        self._job_id = ""
        self._seen = 0
        self._missed = False  # it was followed late: steps may have been told before
        self._number = -TINY
        self._words = "waiting"

    def follow(self, job_id: str, *, late: bool = False) -> None:
        """Tell of this job from now on. `late`: it may have begun, so that what it has told is asked for."""
        if not (self._steps or self._lines):
            return
        self._hearing.close()
        self._missed = late or bool(self._job_id)
        self._job_id, self._seen = job_id, 0
        self._hearing.enter_context(self._client.shared.async_queue.hearing(job_id, self._hear))

    async def __aenter__(self) -> Relay:
        if self._steps or self._lines:
            self._telling = asyncio.create_task(self._tell_all())
        return self

    async def __aexit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._hearing.close()
        if self._telling is None:
            return
        self._heard.put_nowait(None)
        if kind is None:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._telling, LAST_WORDS_SECONDS)
        self._telling.cancel()
        await asyncio.gather(self._telling, return_exceptions=True)

    def _hear(self, word: str, text: str) -> None:
        if word in ("progress", "log"):
            self._heard.put_nowait((word, text))

    async def _tell_all(self) -> None:
        while True:
            try:
                heard = await asyncio.wait_for(self._heard.get(), BEAT_SECONDS)
            except TimeoutError:
                await self._catch_up()
                if self._steps:
                    seconds = time.monotonic() - self._started
                    await self._ctx.session.report_progress(self._next(0.0), message=f"{self._words}, {seconds:.0f} s")
                continue
            if heard is None:
                return
            word, text = heard
            if word == "log":
                await self._tell_line(text)
            elif self._steps:
                number, _, step = text.partition("\n")
                if self._missed or int(number) > self._seen + 1:
                    await self._catch_up()
                if int(number) > self._seen:
                    self._seen = int(number)
                    await self._tell_step(step)

    async def _catch_up(self) -> None:
        """Tell the steps that were not heard."""
        if not (self._steps and self._job_id):
            return
        with suppress(LtmcError):
            last, steps = await self._client.shared.async_queue.steps(self._job_id, self._seen)
            self._missed = False
            for step in steps:
                await self._tell_step(step)
            self._seen = max(self._seen, last)

    async def _tell_step(self, step: str) -> None:
        told: dict[str, Any] = json.loads(step)
        self._words = str(told.get("message") or "running")
        await self._ctx.session.report_progress(self._next(told["done"]), told.get("total"), self._words)

    async def _tell_line(self, line: str) -> None:
        if self._lines:
            params = types.LoggingMessageNotificationParams(level="info", logger="job", data=line)
            words = types.LoggingMessageNotification(params=params)
            await self._ctx.session.send_notification(words, related_request_id=self._ctx.request_id)

    def _next(self, number: float) -> float:
        """The number of progress, which is to grow with each word."""
        self._number = number if number > self._number else round(self._number + TINY, 6)
        return self._number
