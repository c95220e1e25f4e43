"""A trial of the user's tools in a process of their own: what loads, each mistake, and what breaks its process.

`python -m ltmc_jobs.tool_trial ENTRY …` prints lines of JSON: each entry before it is tried, and at last what loaded.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ltmc_jobs import user_tools
from ltmc_jobs.user_tools import IMPORT_SECONDS, TOO_SLOW, Mistake

SLACK_SECONDS = 20.0  # for Python to start on a busy machine
ROOT = Path(__file__).resolve().parent.parent
OVER = "its import takes too long, and cannot be interrupted"


@dataclass(frozen=True, slots=True)
class Trial:
    """Tools by name with their files, mistakes, and the entries that no process is to read, with why."""

    tools: dict[str, str] = field(default_factory=dict)
    mistakes: tuple[Mistake, ...] = ()
    broken: dict[str, str] = field(default_factory=dict)

    @property
    def words(self) -> list[str]:
        """Everything that is wrong, a line each."""
        broken = [str(Mistake(entry, None, "", reason)) for entry, reason in self.broken.items()]
        return [*map(str, self.mistakes), *broken]


def attempt(entries: Sequence[str]) -> Trial:
    """Load entries together, without those that turn out to break the process."""
    broken: dict[str, str] = {}
    while rest := [entry for entry in entries if entry not in broken]:
        words, told = _run(rest)
        if words is None:
            mistakes = [Mistake(**one) for one in told["mistakes"]]
            broken |= {one.file: one.message for one in mistakes if one.message == TOO_SLOW}  # no process shall wait
            return Trial(told["tools"], tuple(one for one in mistakes if one.message != TOO_SLOW), broken)
        broken[told.get("trying", rest[0])] = words
    return Trial(broken=broken)


def _run(entries: Sequence[str]) -> tuple[str | None, dict[str, Any]]:
    """What became of the process, None where it came to its end; and the last that it told."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "ltmc_jobs.tool_trial", *entries],
            env={**os.environ, "PYTHONPATH": os.pathsep.join(paths)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=IMPORT_SECONDS * len(entries) + SLACK_SECONDS,
        )
    except subprocess.TimeoutExpired as error:
        return OVER, _last(error.stdout or b"")
    told, code = _last(done.stdout), done.returncode
    if "tools" in told:
        return None, told
    how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    return f"its import ended the process that tried it ({how})", told


def _last(output: bytes) -> dict[str, Any]:
    """The last line that is ours: native code may print between them."""
    for line in reversed(output.splitlines()):
        with suppress(ValueError):
            told = json.loads(line)
            if isinstance(told, dict) and told.keys() & {"trying", "tools"}:
                return told
    return {}


def main(entries: Sequence[str]) -> int:
    """Load, and print what came of it."""
    for entry in entries:
        _tell({"trying": entry})
        loaded = user_tools.load_entry(entry)
    _tell({"tools": loaded.files, "mistakes": [asdict(one) for one in loaded.mistakes]})
    os._exit(0)  # a thread that a file started keeps nobody waiting


def _tell(words: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(words) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
