"""The one thread of a worker process that talks to Redis: claims jobs, brings home how they ended, keeps the lease."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence

import redis
import structlog
from redis import Redis

from ltmc_jobs.errors import EnvelopeRefused, LtmcError
from ltmc_jobs.queues import reach
from ltmc_jobs.queues.claims import RENEW_SECONDS, Claim, Claims, Run
from ltmc_jobs.queues.envelope import Keyring
from ltmc_jobs.queues.wake import WakeCall
from workers.execution import Execution, opened
from workers.executors.contract import NO_ROOM
from workers.journal import Journal
from workers.staff import LOOK_SECONDS, Staff
from workers.tally import Tally
from workers.words import Words

FLUSH_SECONDS = 0.002
FLUSH_RUNS = 64
AT_ONCE = 256  # ends and claims of a tick: Redis serves nobody else meanwhile
AWAY_SECONDS = (0.05, 1.0)  # first and longest pause while Redis is away
STARVED_LOOK_SECONDS, ERRAND_SECONDS = 1.0, 0.8  # the latter so that what is due starts within a second of its time
STOPPING = (signal.SIGTERM, signal.SIGINT)

log = structlog.get_logger("ltmc.worker")


class Courier(threading.Thread):
    """Runs until told to stop; then gives back what has not begun, waits for the rest, and takes its leave."""

    def __init__(
        self,
        connection: Redis,
        claims: Claims,
        journal: Journal,
        keys: Keyring,
        refuse: Callable[[str, LtmcError], None],
        tally: Tally,
        errands: Sequence[Callable[[bool], None]] = (),
        stop_seconds: float = 20.0,
    ) -> None:
        super().__init__(daemon=True, name="courier")
        self._claims = claims
        self._staff: Staff
        self._journal = journal
        self._keys = keys
        self._refuse = refuse
        self.tally = tally
        self._errands = errands
        self._stop_seconds = stop_seconds
        self._wake = WakeCall(connection, claims.worker)
        self._reader, self.ear = os.pipe()  # the numbers of signals may be written there
        os.set_blocking(self.ear, False)
        self._ended: deque[tuple[Execution, Run]] = deque()
        self._words = Words(claims)
        self._first_ended = 0.0
        self._offset = 0.0  # server's time less our monotonic time
        self._hungry = True  # may claim: not known to have found nothing
        self._come_again = float("inf")
        self._renewed = self._errand = self._looked_for_starved = self._pause = self._look_at = 0.0
        self._unsent: list[Run] | None = None  # of a tick whose answer has not come; None: no such tick
        self._leads = self._drained = False
        self.stopping_at: float | None = None
        self.held: dict[str, Execution] = {}
        self.error: BaseException | None = None

    def employ(self, staff: Staff) -> None:
        """Say who runs the jobs; before `start`."""
        self._staff = staff

    def server_time(self) -> float:
        """Now, by the server's clock."""
        return time.monotonic() + self._offset

    def ended(self, execution: Execution, run: Run) -> None:
        """An executor has ended a run."""
        if not self._ended:
            self._first_ended = time.monotonic()
        self._ended.append((execution, run))
        self.poke()

    def report(self, execution: Execution, kind: str, text: str) -> None:
        """A job tells of itself."""
        self._words.add(execution.claim, kind, text)
        self.poke()

    def stop(self) -> None:
        """Begin to end; a second time: at once."""
        now = time.monotonic()
        self.stopping_at = now + self._stop_seconds if self.stopping_at is None else now
        self.poke()

    def poke(self) -> None:
        """End its sleep."""
        with contextlib.suppress(BlockingIOError):
            os.write(self.ear, b"!")

    def run(self) -> None:
        try:
            while not self._has_ended():
                self._wait()
                self._round()
            self._depart()
        except BaseException as error:
            self.error = error
            log.exception("the worker's courier failed")
        finally:
            self._staff.close()

    def _has_ended(self) -> bool:
        if self.stopping_at is None:
            return self._staff.is_spent and not self.held and not self._ended
        return (not self.held and not self._ended) or time.monotonic() > self.stopping_at

    def _wait(self) -> None:
        ears = select.poll()  # a process with many connections has numbers beyond what select takes
        ears.register(self._reader, select.POLLIN)
        for source in self._wake.sources():
            ears.register(source, select.POLLIN)
        ready = [number for number, _ in ears.poll(max(0.0, self._seconds()) * 1000)]
        if self._reader in ready:
            for byte in os.read(self._reader, 4096):
                if byte in STOPPING:
                    self.stop()
        if ready and ready != [self._reader]:
            self._hear()

    def _seconds(self) -> float:
        """How long nothing needs to be done, if nobody calls."""
        now = time.monotonic()
        if self._pause:
            return self._pause
        if self._words or (self._hungry and self._accepts):
            return 0.0
        if self._ended:
            return 0.0 if self._flush_is_due(now) else self._first_ended + FLUSH_SECONDS - now
        due = min(self._renewed + RENEW_SECONDS, self._come_again - self._offset, self._errand + ERRAND_SECONDS)
        return (min(due, self._look_at) if self.held else due) - now

    def _flush_is_due(self, now: float) -> bool:
        idle = len(self._ended) >= len(self.held)  # all that we hold has ended: nothing more will come
        return idle or len(self._ended) >= FLUSH_RUNS or now - self._first_ended >= FLUSH_SECONDS

    def _hear(self) -> None:
        try:
            for message in self._wake.messages():
                if message.startswith(b"c"):
                    self._cancel([message[1:].decode()])
                else:
                    self._hungry = True
        except redis.RedisError:
            self._wake.reset()
            self._hungry = True  # it may have been told on the way

    def _cancel(self, job_ids: Sequence[str]) -> None:
        self._staff.cancel([one for one in list(self.held.values()) if one.job_id in job_ids])
        self._look_at = 0.0

    def _round(self) -> None:
        now = time.monotonic()
        if now >= self._look_at or self.stopping_at is not None:
            self._look_at = now + self._staff.look_after(now, stopping=self.stopping_at is not None)
        try:
            self._hungry = self._wake.listen() or self._hungry
            if now - self._renewed >= RENEW_SECONDS or not self._renewed:
                self._renew()
            self._words.send()
            if self._needs_tick(now):
                self._tick(now)
            if now - self._errand >= ERRAND_SECONDS:
                self._errand = now
                self._run_errands()
            self._pause = 0.0
        except redis.RedisError as error:
            self._stand_by(error)

    def _run_errands(self) -> None:
        for errand in self._errands:
            try:
                errand(self._leads)
            except redis.RedisError:
                raise
            except Exception:
                log.exception("an errand failed; it is tried again in a second")

    def _needs_tick(self, now: float) -> bool:
        due = self._unsent is not None or self.server_time() >= self._come_again
        return due or (bool(self._ended) and self._flush_is_due(now)) or (self._hungry and self._accepts)

    @property
    def _accepts(self) -> bool:
        return self.stopping_at is None and not self._drained and not self._staff.is_spent

    def _renew(self) -> None:
        renewed = self._claims.renew()
        if not renewed.held_on and self.held:
            log.warning("the lease had ended; what was held may run elsewhere", jobs=len(self.held))
        self._offset = renewed.server_time - time.monotonic()
        self._renewed = time.monotonic()
        # Nobody woke it meanwhile: a worker that is drained, or was buried in its sleep, is not on the lists for that.
        self._hungry = self._hungry or not renewed.held_on or (self._drained and not renewed.drained)
        self._leads, self._drained = renewed.leads, renewed.drained
        if renewed.cancelled:
            self._cancel(renewed.cancelled)
        if self._unsent is None and renewed.held > len(self.held):  # a restart lost what it was told last
            self._unsent = self._claims.strays(self.held, renewed.server_time)

    def _tick(self, now: float) -> None:
        if self._unsent is None:
            self._unsent = self._collect()
        room = self._staff.room().capped(AT_ONCE) if self._accepts else NO_ROOM
        look = any(room) and now - self._looked_for_starved > STARVED_LOOK_SECONDS
        ticked = self._claims.tick(self._unsent, *room, alone=self._staff.suspects(), look_for_starved=look)
        self._looked_for_starved = now if look else self._looked_for_starved
        self._offset = ticked.server_time - time.monotonic()
        self._come_again = ticked.come_again_at if ticked.come_again_at is not None else float("inf")
        self.tally.settle(ticked.refused)
        if ticked.refused:
            log.warning("ended too late; the job had been given to another", jobs=ticked.refused)
        self._unsent = None
        self._journal.settle(
            lambda: [one.claim.member for one in self._staff.running()], lambda: [run for _, run in list(self._ended)]
        )
        if self._accepts:  # else they are those of a tick sent before: they go back with the strays, or as it leaves
            self._dispatch(ticked.claims)
        # Full: it asks again when a job ends. Not full: the queues were empty, and it will be woken. Or it got all that
        # it asked for, and these leave room: they are for other executors than it had in mind.
        asked = min(sum(room), AT_ONCE)
        self._hungry = 0 < asked <= len(ticked.claims) and self._staff.room().free > 0

    def _collect(self) -> list[Run]:
        runs: list[Run] = []
        while self._ended and len(runs) < AT_ONCE:
            execution, run = self._ended.popleft()
            self.held.pop(execution.claim.member, None)
            self.tally.send(execution.claim, run, execution.function)
            runs.append(run)
        return runs

    def _dispatch(self, claims: Sequence[Claim]) -> None:
        executions, refused = [], []
        for claim in claims:
            try:
                execution = Execution(claim, opened(claim, self._keys), self)
                executions.append(execution)
            except EnvelopeRefused as error:
                execution = Execution(claim, None, self, ended=True)
                refused.append((execution, error))
            self.held[claim.member] = execution
        self._staff.submit(executions)
        if self._staff.has_backlog:
            self._look_at = min(self._look_at, time.monotonic() + LOOK_SECONDS)
        for execution, why in refused:
            self.ended(execution, execution.failed(why))
            with contextlib.suppress(redis.RedisError):  # the job itself says it too
                self._refuse(execution.job_id, why)

    def _stand_by(self, error: redis.RedisError) -> None:
        """Redis is away or refuses: keep what has ended, and try again; jobs at hand go on meanwhile."""
        first, longest = AWAY_SECONDS
        if not self._pause:
            reason = reach.refusal(error)
            words = "Redis takes no writes; they are kept" if reason else "Redis did not understand; it is tried again"
            log.error(words, reason=reason or str(error))
        self._pause = min(longest, self._pause * 2 or first)
        self._wake.reset()
        self._hungry = True

    def _depart(self) -> None:
        """Bring home what there is; what still runs is given to others, and whatever it does is refused."""
        until = time.monotonic() + 5.0
        for execution in list(self.held.values()):
            if not execution.ended:
                execution.ended = True
                self._ended.append((execution, execution.again()))
        while time.monotonic() < until:
            try:
                self._words.send()
                while self._unsent is not None or self._ended:
                    self._tick(time.monotonic())
                self._leads = False
                self._run_errands()
                self._claims.leave()
                self._journal.close()
                break
            except redis.RedisError:
                time.sleep(0.1)
        self._wake.close()
