"""Our job class for RQ's own worker, with these kinds: `rq worker --job-class tests.compatibility.stock_job.Job`."""

from __future__ import annotations

import tests.compatibility.kinds
from workers.stock import Job

__all__ = ["Job", "tests"]
