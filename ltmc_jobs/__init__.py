"""LTMC Jobs: what a tool, a job, a key, an error and a memory is."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ltmc_jobs.registry import Cache, Queue, Tier, tool

__version__ = "0.1.0"
__all__ = ["Cache", "Queue", "Tier", "tool"]


def __getattr__(name: str) -> Any:
    """What a file of tools needs, loaded when asked for: importing this package costs nothing."""
    if name in __all__:
        return getattr(import_module("ltmc_jobs.registry"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
