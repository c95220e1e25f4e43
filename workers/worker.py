"""One worker process: a warm main thread that runs jobs, and a courier that claims them and brings them home."""

from __future__ import annotations

import os
import platform
import signal
import sys
import threading
import time
from collections.abc import Iterable
from contextlib import suppress
from importlib.metadata import version

import redis
import structlog

from ltmc_jobs import __version__, logs, user_tools
from ltmc_jobs.queues.claims import Claims
from ltmc_jobs.queues.isolation.birth import Birth
from ltmc_jobs.queues.schedules.clockwork import Clockwork
from ltmc_jobs.registry import STORELESS_QUEUES, Queue
from ltmc_jobs.services import Services
from ltmc_jobs.settings import Settings
from ltmc_jobs.shared import Shared
from workers.clock import Clock
from workers.courier import Courier
from workers.journal import Journal
from workers.leader import Leader
from workers.pools import Pool
from workers.recovery import WorkerName, journals, take_back
from workers.runner import Runner
from workers.staff import Staff
from workers.tally import Tally

# A thread that computes holds Python's lock for so long before the courier gets it; the default is five times that.
SWITCH_SECONDS = 0.001
AWAY_SECONDS = 0.5  # between two tries to reach Redis before there is any work
SPENT = 75  # exit code: a job could not be stopped

log = structlog.get_logger("ltmc.worker")


def work(settings: Settings, pool: Pool, birth: Birth | None = None) -> None:
    """Work on a pool's queues until SIGTERM; what runs is ended first, or given to others when it takes too long.

    `birth` makes isolated processes faster than a command starts.
    """
    logs.configure(settings.log_level, process=f"worker:{pool.name}")
    for mistake in user_tools.load(settings).mistakes:
        log.warning("left out of the tools", file=mistake.file, line=mistake.line, reason=mistake.message)
    sys.setswitchinterval(SWITCH_SECONDS)
    shared = Shared.open(settings)
    queues = allowed(pool.queues, owns_stores(shared))
    if not queues:
        log.warning("these queues touch files of another installation; nothing to do here", queues=list(pool.queues))
        return
    services = Services.open(shared)
    name = str(WorkerName.own(pool.name))
    clock = Clock(Clockwork(shared.redis, shared.keys, shared.metrics), name)
    with suppress(redis.RedisError):
        take_back(shared.redis, journals(settings))
    journal = Journal(journals(settings), name)
    runner = Runner(services)
    courier = Courier(
        shared.redis,
        Claims(shared.redis, name, queues, facts(pool, queues, shared.redis)),
        journal,
        shared.keys,
        runner.refuse,
        Tally(shared.metrics),
        errands=[lambda _leads: shared.metrics.flush(), Leader(shared.redis, name, journals(settings)), clock],
        stop_seconds=settings.stop_seconds,
    )
    staff = Staff(settings, runner, journal, courier.ended, birth)
    courier.employ(staff)
    listen_to_signals(courier)
    courier.start()
    threading.Thread(target=_see_out, args=(courier, staff), daemon=True).start()
    staff.inline.run()
    courier.join()
    services.close()
    if staff.is_spent:
        raise SystemExit(SPENT)
    if courier.error is not None:
        raise SystemExit(1)


def owns_stores(shared: Shared) -> bool:
    """Whether this home's files are those of the server's installation; waits until Redis answers."""
    waited = 0
    while True:
        try:
            return shared.installation.owns_stores()
        except (redis.ConnectionError, redis.TimeoutError) as error:
            if isinstance(error, redis.AuthenticationError):
                raise
            if not waited:
                log.error("Redis cannot be reached; this worker begins when it can")
            waited += 1
            time.sleep(AWAY_SECONDS)


def allowed(queues: Iterable[Queue], owns_stores: bool) -> list[Queue]:
    """The queues that a process may serve: without the installation's files, only those that touch none."""
    return [queue for queue in queues if owns_stores or queue in STORELESS_QUEUES]


def facts(pool: Pool, queues: Iterable[Queue], connection: redis.Redis) -> dict[str, str]:
    """What RQ's tools show of a worker, and the fleet's view."""
    address = ""
    with suppress(redis.RedisError):
        address = str(connection.client_info()["addr"])  # with its port, as RQ has it
    return {
        "queues": ",".join(queues),
        "pid": str(os.getpid()),
        "hostname": platform.node(),
        "ip_address": address,
        "version": version("rq"),
        "python_version": sys.version,
        "ltmc_version": __version__,
        "ltmc_pool": pool.name,
    }


def listen_to_signals(courier: Courier) -> None:
    """SIGTERM and SIGINT end the process; the courier hears them even while a job is in native code."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: None)
    signal.set_wakeup_fd(courier.ear, warn_on_full_buffer=False)


def _see_out(courier: Courier, staff: Staff) -> None:
    """End the process when the courier is done, even if a job on the main thread is not."""
    courier.join()
    if not staff.is_quiet:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(SPENT if staff.is_spent else 0)
