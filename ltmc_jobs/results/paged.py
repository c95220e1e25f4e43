"""Paged: what every answer says that is a page of a list."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypedDict


@dataclass(frozen=True, slots=True, kw_only=True)
class Paged:
    """`count` of `total` items; the next page begins at `next_offset`, if there is one."""

    count: int
    total: int
    next_offset: int | None


class Extent(TypedDict):
    """The same, on its way into an answer."""

    count: int
    total: int
    next_offset: int | None
