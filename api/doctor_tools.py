"""What the doctor looks at of the user's own tools."""

from __future__ import annotations

from collections.abc import Iterator

from api.finding import Finding, Patient, fine, problem
from ltmc_jobs.tool_trial import attempt
from ltmc_jobs.user_tools import Chosen

CURE = "`ltmc tools check FILE` says every mistake of a file; what runs takes up a change when it is started again"


def look_at_tools(patient: Patient) -> Iterator[Finding]:
    """Whether all of LTMC_TOOLS can be used: tried in a process of its own, as the start of the platform does."""
    entries = patient.settings.tools or Chosen.load(patient.settings).entries
    if not entries:
        return
    trial = attempt(entries)
    if trial.tools:
        yield fine(f"tools of your own: {', '.join(sorted(trial.tools))}")
    for words in trial.words:
        yield problem(f"LTMC_TOOLS: left out: {words}", CURE)
