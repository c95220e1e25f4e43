"""A trial of the user's tools in a process of their own: what loads, each mistake, and what breaks its process.

`python -m ltmc_jobs.tool_trial ENTRY …` prints a Trial as one line of JSON.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ltmc_jobs import registry, user_tools
from ltmc_jobs.user_tools import IMPORT_SECONDS, Mistake

SLACK_SECONDS = 20.0  # for Python to start on a busy machine
ROOT = Path(__file__).resolve().parent.parent
OVER = "its import takes too long, and cannot be interrupted"


@dataclass(frozen=True, slots=True)
class Trial:
    """Tools by name with their files, mistakes, and the entries that broke their process with why."""

    tools: dict[str, str] = field(default_factory=dict)
    mistakes: tuple[Mistake, ...] = ()
    broken: dict[str, str] = field(default_factory=dict)

    @property
    def words(self) -> list[str]:
        """Everything that is wrong, a line each."""
        broken = [str(Mistake(entry, None, "", reason)) for entry, reason in self.broken.items()]
        return [*map(str, self.mistakes), *broken]


def attempt(entries: Sequence[str]) -> Trial:
    """Load entries together; where that breaks the process, each by itself to find which does it."""
    if not entries:
        return Trial()
    trial = _run(entries)
    if isinstance(trial, Trial):
        return trial
    if len(entries) == 1:
        return Trial(broken={entries[0]: trial})
    broken = {entry: words for entry in entries if isinstance(words := _run([entry]), str)}
    rest = [entry for entry in entries if entry not in broken]
    trial = _run(rest) if rest and broken else trial
    if isinstance(trial, str):  # only together
        return Trial(broken=dict.fromkeys(entries, trial))
    return Trial(trial.tools, trial.mistakes, broken)


def _run(entries: Sequence[str]) -> Trial | str:
    """What loads; or what became of the process."""
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
    except subprocess.TimeoutExpired:
        return OVER
    try:
        told: Any = json.loads(done.stdout.splitlines()[-1])
        return Trial(told["tools"], tuple(Mistake(**one) for one in told["mistakes"]))
    except (LookupError, ValueError, TypeError):
        code = done.returncode
        how = f"killed by {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
        return f"its import ended the process that tried it ({how})"


def main(entries: Sequence[str]) -> int:
    """Load, and print what came of it."""
    for entry in entries:
        loaded = user_tools.load_entry(entry)
    tools = {name: file for name, file in loaded.files.items() if registry.find(name)}
    sys.stdout.write(json.dumps({"tools": tools, "mistakes": [asdict(one) for one in loaded.mistakes]}) + "\n")
    sys.stdout.flush()
    os._exit(0)  # a thread that a file started keeps nobody waiting


if __name__ == "__main__":
    main(sys.argv[1:])
