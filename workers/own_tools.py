"""The user's own tools at the start of the platform: tried apart, announced, and noted for whoever calls."""

from __future__ import annotations

import os
from collections.abc import Callable

from ltmc_jobs.settings import Settings
from ltmc_jobs.settings.tools import CHOSEN


def announce(settings: Settings, say: Callable[[str], None]) -> None:
    """Say what LTMC_TOOLS brings and what is wrong with it, and have all processes leave out what breaks them."""
    forget(settings)
    os.environ["LTMC_TOOLS"] = ",".join(settings.tools)  # whole paths, for the children
    if not settings.tools:
        return
    from ltmc_jobs.tool_trial import attempt  # loads every tool: only for who has some
    from ltmc_jobs.user_tools import Chosen

    trial = attempt(settings.tools)
    Chosen(settings.tools, trial.broken).save(settings)
    for file in sorted({*trial.tools.values()}):
        names = ", ".join(sorted(name for name, its in trial.tools.items() if its == file))
        say(f"tools of your own: {names} ({file})")
    for words in trial.words:
        say(f"LTMC_TOOLS: left out: {words}")


def forget(settings: Settings) -> None:
    """Nobody is told of them any more."""
    (settings.run_directory / CHOSEN).unlink(missing_ok=True)
