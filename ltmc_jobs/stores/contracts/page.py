"""Page: a stretch of a list, and how long the whole list is."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from ltmc_jobs.results.paged import Extent

Item = TypeVar("Item")

PAGE_CHARACTERS = 2_000_000


@dataclass(frozen=True, slots=True)
class Page(Generic[Item]):
    """The items from `offset` on, and of how many."""

    items: list[Item]
    offset: int
    total: int

    @property
    def next_offset(self) -> int | None:
        """Where the next page begins; None on the last."""
        end = self.offset + len(self.items)
        return end if self.items and end < self.total else None

    @property
    def extent(self) -> Extent:
        """What an answer with these items says of its page."""
        return Extent(count=len(self.items), total=self.total, next_offset=self.next_offset)


def filled(items: Iterable[Item], length_of: Callable[[Item], int]) -> list[Item]:
    """The first items, as many as have PAGE_CHARACTERS together, and one at least: no answer grows without bound."""
    taken: list[Item] = []
    length = 0
    for item in items:
        length += length_of(item)
        if taken and length > PAGE_CHARACTERS:
            break
        taken.append(item)
    return taken
