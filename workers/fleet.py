"""The forking parent: workers start from one warm, frozen image, and a dead one is replaced.

Everything that all workers need is imported before the first fork, and nothing that must not cross
one: no thread, no connection, no store, no model. So the pages of the code are shared by all, and by the isolated
processes that workers ask for (`workers.nursery`).
"""

from __future__ import annotations

import gc
import importlib
import os
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field

import click
from redis import Redis

from ltmc_jobs.errors import LtmcError
from ltmc_jobs.orchestration.installation import Installation
from ltmc_jobs.private_files import make_private
from ltmc_jobs.queues.envelope import Keyring
from ltmc_jobs.queues.isolation.birth import Birth
from ltmc_jobs.registry import Queue
from ltmc_jobs.settings import Settings
from workers import writer
from workers.backoff import Backoff
from workers.nursery import Nursery
from workers.pools import Pool, pools_of
from workers.processes import STOP_SECONDS, describe
from workers.signals import STOPPING, Signals

SHARED_MODULES = ("rq", "redis", "workers.worker", "workers.scheduler", "workers.recovery", "workers.isolated")
# What only a host with the memory's files needs; FAISS alone is 20 MB in each process that imports it by itself.
STORE_MODULES = ("ltmc_jobs.stores.records_sqlite", "ltmc_jobs.stores.graph_sqlite", "ltmc_jobs.stores.vectors_faiss")

MEND_SECONDS = 20
KILLED_SECONDS = 0.2


@dataclass
class Member:
    """One process of the fleet."""

    name: str
    body: Callable[[], None]
    pid: int | None = None
    due: float = 0.0
    backoff: Backoff = field(default_factory=Backoff)


class Fleet:
    """Keeps the processes of all pools running until it is told to stop; each ends its running job first."""

    def __init__(self, settings: Settings, *, with_stores: bool, with_scheduler: bool) -> None:
        for module in SHARED_MODULES + STORE_MODULES * with_stores:
            importlib.import_module(module)
        self.nursery = Nursery()
        self.members = [
            Member(f"{pool.name}-{number}", lambda pool=pool: _work(settings, pool, self.nursery.door))  # type: ignore[misc]
            for pool in pools_of(settings, with_stores)
            for number in range(1, pool.processes + 1)
        ]
        if with_scheduler:
            self.members.append(Member("scheduler", lambda: _schedule(settings)))
        # Its other end is in this process alone: when we are gone, however, every child reads the end of the file.
        self._life_reader, self._life_writer = os.pipe()
        self._signals = Signals()
        self._settings = settings

    def run(self) -> None:
        """Start all, replace the dead, and on SIGTERM wait for all to end."""
        gc.collect()
        gc.freeze()
        while not self._signals.stops:
            for member in self.members:
                if member.pid is None and member.due <= time.monotonic():
                    self._start(member)
            self._wait(self._seconds_until_due())
        self._stop()

    def _wait(self, seconds: float | None) -> None:
        self._signals.wait(seconds, self.nursery)
        self.nursery.serve(self._forget_all)
        self._reap()

    def _forget(self) -> None:
        """In a forked process: let go of what is ours alone."""
        os.close(self._life_writer)
        self._signals.close()
        self.nursery.forget()

    def _forget_all(self) -> None:
        """In an isolated process: its life hangs by its worker's."""
        self._forget()
        os.close(self._life_reader)

    def _seconds_until_due(self) -> float | None:
        waiting = [member.due for member in self.members if member.pid is None]
        return max(0.0, min(waiting) - time.monotonic()) if waiting else None

    def _start(self, member: Member) -> None:
        # Until the child has its own handlers, a signal must wait: ours would only count it.
        signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
        pid = os.fork()
        if pid == 0:
            self._become(member)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
        member.pid = pid
        member.backoff.started()

    def _become(self, member: Member) -> None:
        """The child's whole life."""
        status = 1
        try:
            os.setpgid(0, 0)  # a signal to our group must reach it once, through us
            self._forget()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, STOPPING)
            threading.Thread(target=_end_with_parent, args=(self._life_reader,), daemon=True).start()
            member.body()
            status = 0
        except LtmcError as error:
            click.echo(f"{member.name}: {error}", err=True)
        except SystemExit as error:
            status = error.code if isinstance(error.code, int) else 1
        except BaseException:  # whatever it was, this process ends here and not in the parent's loop
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)

    def _reap(self) -> None:
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            self.nursery.note_end(pid, status, usage.ru_maxrss)
            for member in self.members:
                if member.pid == pid:
                    self.nursery.end_those_of(pid)
                    self._note_end(member, os.waitstatus_to_exitcode(status))
                    if os.WIFSIGNALED(status):
                        self._mend()

    def _mend(self) -> None:
        """Give back at once what a killed worker held; in a process of its own, since Redis may be away."""
        pid = os.fork()
        if pid == 0:
            try:
                self._forget()
                signal.alarm(MEND_SECONDS)
                _mend(self._settings)
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(0)

    def _note_end(self, member: Member, code: int) -> None:
        member.pid = None
        seconds = member.backoff.died()
        if code < 0:  # a job that kills its worker runs by itself the next time, so that this is no endless loop
            seconds = min(seconds, KILLED_SECONDS)
        member.due = time.monotonic() + seconds
        if not self._signals.stops:
            click.echo(f"{member.name} ended ({describe(code)}); another starts in {seconds:.1f} s", err=True)

    def _stop(self) -> None:
        self._signal_all(signal.SIGTERM)
        deadline = time.monotonic() + STOP_SECONDS
        while any(member.pid for member in self.members):
            seconds = deadline - time.monotonic()
            if seconds <= 0 or self._signals.stops > 1:
                self._signal_all(signal.SIGKILL)
                seconds = 1.0
            self._wait(seconds)

    def _signal_all(self, number: signal.Signals) -> None:
        for member in self.members:
            if member.pid:
                os.kill(member.pid, number)


def holds_stores(settings: Settings, wanted: bool | None) -> bool:
    """Whether this host's files are the memory that this Redis works for; if wanted, make it so or refuse."""
    if wanted is False:
        return False
    connection = Redis.from_url(settings.redis_address())
    try:
        installation = Installation(connection, settings.home)
        if wanted:
            for directory in (settings.home, settings.records_file.parent, settings.vectors_directory):
                make_private(directory)
            Keyring.make(settings)
            installation.register()
        return installation.owns_stores()
    finally:
        connection.close()  # none may cross a fork


def _mend(settings: Settings) -> None:
    from workers.recovery import journals, take_back

    take_back(Redis.from_url(settings.redis_address()), journals(settings))


def _work(settings: Settings, pool: Pool, birth: Birth) -> None:
    from workers.worker import work

    if Queue.VECTORS in pool.queues:
        # For life. A fleet killed the hard way may leave its writer at its last job while the next fleet starts.
        writer.become(settings, wait=True)
    work(settings, pool, birth)


def _schedule(settings: Settings) -> None:
    from workers.scheduler import run

    run(settings)


def _end_with_parent(life: int) -> None:
    while os.read(life, 1):
        pass
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(STOP_SECONDS)
    os._exit(1)
