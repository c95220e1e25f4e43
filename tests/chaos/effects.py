"""What jobs did, as they wrote it outside Redis: who began, who ended, how often and when."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple


class Effect(NamedTuple):
    """One line: a run began (B) or ended (E)."""

    event: str
    job_id: str
    attempt: int
    pid: int
    parent: int
    seconds: float  # CLOCK_MONOTONIC, the same for every process of the machine


class Effects:
    """A file of effects; read anew with each question."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def all(self) -> list[Effect]:
        """Every line so far, in the order of writing."""
        if not self.file.exists():
            return []
        found = []
        for line in self.file.read_text().splitlines():
            event, job_id, attempt, pid, parent, seconds = line.split()
            found.append(Effect(event, job_id, int(attempt), int(pid), int(parent), float(seconds)))
        return found

    def counts(self, event: str) -> Counter[str]:
        """How often each job began (B) or ended (E)."""
        return Counter(effect.job_id for effect in self.all() if effect.event == event)

    def ended_again(self) -> int:
        """Ends beyond each job's first."""
        return sum(count - 1 for count in self.counts("E").values())


def recoveries(effects: Iterable[Effect], deaths: Iterable[tuple[int, float]]) -> list[float]:
    """For each job that a killed process was at: the seconds from the kill (pid, moment) until it ran again."""
    by_job: dict[str, list[Effect]] = defaultdict(list)
    for effect in effects:
        by_job[effect.job_id].append(effect)
    killed = dict(deaths)
    seconds = []
    for lines in by_job.values():
        ended = {(effect.attempt, effect.pid) for effect in lines if effect.event == "E"}
        begun = [effect for effect in lines if effect.event == "B"]
        for run in begun:
            at = killed.get(run.pid) or killed.get(run.parent)
            if at is None or (run.attempt, run.pid) in ended:
                continue
            again = [other.seconds for other in begun if other.seconds > max(at, run.seconds)]
            if again:
                seconds.append(min(again) - at)
    return sorted(seconds)


def percentile(values: list[float], share: float) -> float:
    """Of sorted values; 0 for none."""
    return values[min(len(values) - 1, int(len(values) * share))] if values else 0.0
