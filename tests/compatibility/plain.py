"""The functions as a user of RQ has them: no services, nothing declared."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any


def add(a: int, b: int) -> int:
    return a + b


def nothing() -> None:
    """Has no result."""


def record(file: str, line: str) -> dict[str, Any]:
    with Path(file).open("a") as written:
        written.write(line + "\n")
    return {"line": line}


def fail(file: str, times: int) -> str:
    record(file, "ran")
    if len(Path(file).read_text().splitlines()) <= times:
        raise ZeroDivisionError("not this time")
    return "at last"


def wait_for(file: str) -> str:
    while not Path(file).exists():
        time.sleep(0.01)
    return "seen"
