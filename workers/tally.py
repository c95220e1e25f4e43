"""What a worker process counts of its jobs for /metrics: how long they waited, how long they ran, how they ended."""

from __future__ import annotations

from collections.abc import Collection

from ltmc_jobs.metrics import Metrics
from ltmc_jobs.queues.claims import CRASH_LIMIT, Claim, Ending, Run

OUTCOMES = {Ending.DONE: "finished", Ending.STOPPED: "stopped"}
NOT_ENDED = (Ending.BACK, Ending.AGAIN, Ending.ASKS)


class Tally:
    """Each run is counted once, and only when Redis has taken its end."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._sent: list[tuple[Claim, Run, str | None]] = []

    def begin(self, claim: Claim, server_time: float) -> None:
        """A job's function is about to run; from any thread."""
        waited = claim.waited_seconds(server_time)
        if waited is not None:
            self._metrics.observe("ltmc_job_wait_seconds", waited, claim.queue)

    def send(self, claim: Claim, run: Run, function: str | None) -> None:
        """The end of a run is on its way to Redis; of this function, if it has begun."""
        self._sent.append((claim, run, function))

    def settle(self, refused: Collection[str]) -> None:
        """Redis has taken the ends that were on their way, but for these job:execution, which had been given away."""
        for claim, run, function in self._sent:
            if run.ending in NOT_ENDED or claim.member in refused:
                continue
            self._metrics.count("ltmc_jobs_total", claim.queue, outcome(claim, run))
            if function is not None:
                self._metrics.observe("ltmc_job_run_seconds", run.ended_at - run.started_at, claim.queue, function)
        self._sent.clear()


def outcome(claim: Claim, run: Run) -> str:
    """In a word, how a run ended: finished, failed, stopped, or retried."""
    if run.ending == Ending.FAILED:
        return "retried" if claim.retries_left > 0 else "failed"
    if run.ending == Ending.CRASHED:
        return "retried" if claim.crashes + 1 < CRASH_LIMIT else "failed"
    return OUTCOMES.get(run.ending, "failed")
