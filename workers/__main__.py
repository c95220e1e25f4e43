"""`python -m workers`: start, stop and show the platform, or lend this host's processors to another's."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path

import click

from ltmc_jobs.errors import LtmcError, Misconfigured
from ltmc_jobs.settings import Settings

ENVIRONMENT = """
\b
Settings are environment variables; the ones most asked for:
  LTMC_HOME       where all data is           [the user's data folder]/ltmc
  HTTP_HOST       address of the API          localhost
  HTTP_PORT       port of the API             5050
  REDIS_URL       a Redis of your own         an embedded one is started
  REDIS_PORT      port of the embedded one    6381
  LTMC_WORKERS    default-queue processes     4
  NEO4J_URI       a graph of your own         the graph is kept in SQLite
  LTMC_TOOLS      files with your own tools   none
  LTMC_DASHBOARD  0: no dashboard             1
"""


def in_one_line(command: Callable[..., None]) -> Callable[..., None]:
    """Say what is wrong in a line, not in a traceback: exit code 2 for a setting or the machine, 1 for the rest."""

    @wraps(command)
    def run(*arguments: object, **options: object) -> None:
        try:
            command(*arguments, **options)
        except LtmcError as error:
            for line in str(error).splitlines():
                click.echo(f"ltmc: {line}", err=True)
            sys.exit(2 if isinstance(error, Misconfigured) else 1)

    return run


@click.group(epilog=ENVIRONMENT, context_settings={"help_option_names": ["-h", "--help"]})
def main() -> None:
    """Run the LTMC Jobs platform: Redis, the API, the workers, the scheduler and the dashboard."""


@main.command()
@click.option("--detach", "-d", is_flag=True, help="Return when it is healthy; it goes on in the background.")
@in_one_line
def start(detach: bool) -> None:
    """Start everything, wait until it is healthy, and say what runs where.

    In the foreground Ctrl-C stops it again: workers end the job that they are at, then Redis stops.
    Started twice, it says where the first one is, and exits with 0.
    """
    from workers import supervisor

    settings = Settings.load()
    record = supervisor.running(settings)
    if record is not None:
        state = "is running" if record.ready else "is being started"
        click.echo(f"already {state.removeprefix('is ')}: {record.url} (pid {record.supervisor.pid})")
        click.echo("  ./start_workers.sh status   what runs where\n  ./start_workers.sh stop     stop it")
    elif detach:
        _start_detached(settings)
    else:
        supervisor.Supervisor(settings).run()


def _start_detached(settings: Settings) -> None:
    from ltmc_jobs.private_files import make_private, open_log
    from workers import supervisor

    log = settings.home / "logs" / "platform.log"
    make_private(settings.home)
    make_private(log.parent)
    with open_log(log) as output, log.open("rb") as reading:
        reading.seek(0, 2)
        process = subprocess.Popen(
            [sys.executable, "-m", "workers", "start"],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )
        while True:
            record = supervisor.running(settings)
            ready = record is not None and record.ready and record.supervisor.pid == process.pid
            code = process.poll()
            click.echo(reading.read().decode(errors="replace"), nl=False)
            if code is not None:
                sys.exit(code or 1)
            if ready:
                click.echo(f"goes on in the background (pid {process.pid}); its words go to {log}")
                return
            time.sleep(0.05)


@main.command()
@in_one_line
def stop() -> None:
    """Stop what `start` started, and only that. Exit code 0 when nothing runs afterwards."""
    from workers import supervisor

    click.echo("stopped" if supervisor.stop(Settings.load_home(), click.echo) else "not running")


@main.command()
@in_one_line
def status() -> None:
    """Show what runs where. Exit code 0: healthy, 1: runs but is not healthy, 3: not running."""
    from workers import health, supervisor

    settings = Settings.load_home()
    record = supervisor.running(settings)
    if record is None:
        click.echo(f"not running (data: {settings.home}); start it with ./start_workers.sh")
        sys.exit(3)
    said = health.ask(settings, url=record.url)
    click.echo(f"{said.get('status', 'no answer from the API')}, pid {record.supervisor.pid}")
    for reason in health.reasons(said):
        click.echo(f"  {reason}")
    click.echo(supervisor.table(settings, record))
    sys.exit(0 if health.is_healthy(said) else 1)


@main.command()
@click.option("--stores/--no-stores", default=None, help="Whether LTMC_HOME holds this Redis's memory [found out].")
@click.option("--scheduler/--no-scheduler", default=False, help="Run the scheduler too.")
@in_one_line
def workers(stores: bool | None, scheduler: bool) -> None:
    """Run workers alone, against the Redis that REDIS_URL names.

    On a host without the memory's files they take only jobs that need none of them.
    """
    from workers.fleet import Fleet, holds_stores

    settings = _with_redis()
    with_stores = holds_stores(settings, stores)
    _check_keys(settings)  # with a wrong one, or none, every worker would refuse its jobs, again and again
    click.echo(f"workers {'with' if with_stores else 'without'} stores, against {settings.redis_shown()}", err=True)
    Fleet(settings, with_stores=with_stores, with_scheduler=scheduler).run()


@main.command()
@in_one_line
def scheduler() -> None:
    """Run the scheduler alone, against the Redis that REDIS_URL names."""
    from workers.scheduler import run

    settings = _with_redis()
    _check_keys(settings)
    run(settings)


@main.command()
@click.argument("place", type=click.Path(path_type=Path), default=".")
@click.option("--verify", "verified", is_flag=True, help="PLACE is a backup: look whether it is whole.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@in_one_line
def backup(place: Path, verified: bool, as_json: bool) -> None:
    """Copy everything into one file: memory, queue, keys. It may run meanwhile.

    PLACE is a file, or a folder in which one with the time in its name is made.
    """
    from workers.copies import report
    from workers.copies.backup import take
    from workers.copies.restore import verify

    if verified:
        report.show_verified(verify(place), as_json)
    else:
        report.show_taken(take(Settings.load(), place), as_json)


@main.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.option("--force", is_flag=True, help="Also into a home that is in use; what is there is moved aside.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
@in_one_line
def restore(file: Path, force: bool, as_json: bool) -> None:
    """Put a backup into LTMC_HOME, while nothing runs there."""
    from workers.copies import report
    from workers.copies.restore import differing_settings, put_back

    settings = Settings.load()
    done = put_back(settings, file, force=force)
    report.show_restored(done, differing_settings(settings, done), as_json)


def _check_keys(settings: Settings) -> None:
    from redis import Redis

    from ltmc_jobs.orchestration.installation import Installation
    from ltmc_jobs.queues.envelope import Keyring

    with Redis.from_url(settings.redis_address()) as connection:  # closed at once: none may cross a fork
        Installation(connection, settings.home).check_keys(Keyring.load(settings))


def _with_redis() -> Settings:
    """Settings whose Redis may be used, and answers."""
    from ltmc_jobs.queues.fitness import require_fit
    from ltmc_jobs.shared import checked_address
    from workers.server import ping

    settings = Settings.load()
    checked_address(settings)
    ping(settings)
    require_fit(settings, lambda line: click.echo(line, err=True))
    return settings


if __name__ == "__main__":
    main(prog_name="./start_workers.sh")
