"""Links: which message used which chunks of the memory."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from ltmc_jobs.results.context import ContextLink, LinkedMessage, LinkStatistics
from ltmc_jobs.stores.contracts.page import Page


class Links(Protocol):
    """Links between messages and chunks of one project. A link goes with its message, and with its chunk."""

    def add(self, message_id: int, chunk_ids: Sequence[int], *, project: str, job_id: str | None = None) -> int:
        """Link a message to chunks, all or none; how many links this job made, whichever of its runs it was.

        NotFound names the message and every chunk that the project does not have.
        """

    def of_message(self, message_id: int, *, project: str, limit: int, offset: int = 0) -> Page[ContextLink]:
        """The chunks that a message used, in the order they were linked; NotFound for an unknown message."""

    def of_chunk(self, chunk_id: int, *, project: str, limit: int, offset: int = 0) -> Page[LinkedMessage]:
        """The messages that used a chunk, newest first; NotFound for an unknown chunk.

        A page ends early after 2 M characters.
        """

    def chunk_ids(self, message_ids: Iterable[int], *, project: str) -> dict[int, list[int]]:
        """The chunks that messages used; messages that used none are left out."""

    def statistics(self, *, project: str) -> LinkStatistics:
        """Counts, and the ten chunks that most messages used."""

    def check(self) -> None:
        """Raise if the store cannot answer."""

    def close(self) -> None: ...
