"""LTMC Jobs: what a tool, a job, a key, an error and a memory is."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ltmc_jobs.offers import prompt, resource
    from ltmc_jobs.registry import Cache, Queue, Tier, tool

__version__ = "0.1.0"
_PLACES = dict.fromkeys(("Cache", "Queue", "Tier", "tool"), "ltmc_jobs.registry")
_PLACES |= dict.fromkeys(("prompt", "resource"), "ltmc_jobs.offers")
__all__ = ["Cache", "Queue", "Tier", "prompt", "resource", "tool"]


def __getattr__(name: str) -> Any:
    """What a file of tools needs, loaded when asked for: importing this package costs nothing."""
    if name in _PLACES:
        return getattr(import_module(_PLACES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
