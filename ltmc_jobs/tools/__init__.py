"""What can be called: one file a family, one function a tool."""

from __future__ import annotations

from ltmc_jobs.tools import jobs, memory

__all__ = ["jobs", "memory"]
