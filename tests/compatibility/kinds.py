"""The same functions declared for our workers."""

from __future__ import annotations

from typing import Any

from ltmc_jobs.errors import Conflict
from ltmc_jobs.registry import JobKind, Queue
from ltmc_jobs.services import Services
from tests.compatibility import plain


def add(services: Services, a: int, b: int) -> int:
    return plain.add(a, b)


def nothing(services: Services) -> None:
    plain.nothing()


def record(services: Services, file: str, line: str) -> dict[str, Any]:
    return plain.record(file, line)


def fail(services: Services, file: str, times: int) -> str:
    return plain.fail(file, times)


def wait_for(services: Services, file: str) -> str:
    return plain.wait_for(file)


def tell(services: Services, file: str) -> dict[str, Any]:
    assert services.job is not None
    services.job.progress(1, 2, "half")
    services.job.log("a line")
    wait_for(services, file)
    return {"attempt": services.job.attempt}


def turn_away(services: Services) -> None:
    raise Conflict("it does not fit", thing="door")


def break_off(services: Services, file: str, times: int) -> str:
    """As `fail`, by an error that is worth a retry."""
    try:
        return plain.fail(file, times)
    except ZeroDivisionError as error:
        raise ConnectionError("gone") from error


def be_unfit(services: Services) -> object:
    return {1, 2}


def be_brief(services: Services, file: str) -> str:
    return plain.wait_for(file)


def _kind(name: str, **options: Any) -> JobKind:
    known: dict[str, Any] = {"queue": Queue.DEFAULT, "retries": 0} | options
    return JobKind(name=f"compat_{name}", path=f"{__name__}.{name}", **known)


ADD, NOTHING, RECORD, FAIL, WAIT_FOR = (_kind(name) for name in ("add", "nothing", "record", "fail", "wait_for"))
TELL, TURN_AWAY, BE_UNFIT = (_kind(name) for name in ("tell", "turn_away", "be_unfit"))
BREAK_OFF = _kind("break_off", retries=2, retry_seconds=0.1)
INDEX = _kind("nothing_indexed", queue=Queue.VECTORS)
BRIEF = _kind("be_brief", timeout_seconds=1)
