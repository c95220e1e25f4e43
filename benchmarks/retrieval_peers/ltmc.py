"""Ours, over REST: by meaning and words, by words alone, by meaning alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.installation import platform, processes
from benchmarks.retrieval_peers.cases import Room, Span, Text
from benchmarks.retrieval_peers.server import Connection, cpu_seconds
from ltmc_jobs.settings import Settings

MATCHES = {"ltmc": "both", "words only": "words", "vector only": "meaning"}
BATCH = 100
WARMING = 12  # questions at once, more than there are workers, so that each has its model


class Ltmc:
    """A platform of the benchmark's own. A conversation is one of a project; other rooms are projects."""

    ways = tuple(MATCHES)

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._connection = Connection(settings.http_port)
        self._projects: set[str] = set()
        self._linking = ""  # the last of what was stored

    def store(self, room: Room, text: Text) -> None:
        self._await_found(self._call("store_memory", room, _document(room, text)), room)

    def store_rest(self, room: Room, texts: Sequence[Text]) -> None:
        for at in range(0, len(texts), BATCH):
            documents = [_document(room, text) for text in texts[at : at + BATCH]]
            self._await_found(self._call("store_memory", room, {"documents": documents}), room)

    def ask(self, way: str, room: Room, question: str) -> tuple[list[Span], float]:
        asked: dict[str, Any] = {"query": question, "top_k": 10, "match": MATCHES[way]}
        if room.is_conversation:
            # A benchmark's questions are no messages of the conversation.
            asked |= {"conversation_id": room.name, "scope": "conversation", "log_query": False}
        answer, took = self._connection.ask("POST", self._path("retrieve_memory", room), asked)
        if answer["missing"] or answer.get("cached"):
            raise SystemExit(f"no answer to measure: {answer['missing'] or 'it was cached'}")
        return [Span(one["file_name"], one["start"], one["end"]) for one in answer["retrieved_chunks"]], took

    def settle(self) -> None:
        if self._linking:
            self._connection.ask("GET", self._linking)
        self._linking = ""

    def forget_answers(self) -> None:
        for project in self._projects:
            self._connection.ask("POST", f"/tools/redis_flush_cache?project={project}", {"cache_type": "all"})

    def warm(self) -> None:
        """Have every worker load its model."""

        def ask(number: int) -> None:
            connection = Connection(self._settings.http_port)
            connection.ask("POST", "/tools/retrieve_memory?wait=45", {"query": f"what is number {number}?"})
            connection.close()

        for round_of in range(4):
            with ThreadPoolExecutor(WARMING) as threads:
                list(threads.map(ask, range(round_of * WARMING, (round_of + 1) * WARMING)))

    def cpu_seconds(self) -> float:
        return cpu_seconds(lambda: processes(self._settings))

    def close(self) -> None:
        self._connection.close()

    def _path(self, tool: str, room: Room) -> str:
        project = "conversations" if room.is_conversation else room.name
        self._projects.add(project)
        return f"/tools/{tool}?project={project}&wait=45"

    def _call(self, tool: str, room: Room, arguments: dict[str, Any]) -> dict[str, Any]:
        return self._connection.ask("POST", self._path(tool, room), arguments)[0]

    def _await_found(self, answer: dict[str, Any], room: Room) -> None:
        """A call waits two seconds for what follows; many texts take longer."""
        query = self._path("", room).partition("?")[2]
        if answer["state"] == "recorded":
            self._connection.ask("GET", f"/jobs/{answer['jobs']['searchable']}/result?{query}")
        if "linked" in answer.get("jobs", {}):
            self._linking = f"/jobs/{answer['jobs']['linked']}/result?{query}"


def _document(room: Room, text: Text) -> dict[str, Any]:
    document = {"file_name": text.name, "content": text.content, "resource_type": text.resource_type}
    return document | ({"conversation_id": room.name} if room.is_conversation else {})


@contextmanager
def running(home: Path) -> Iterator[Ltmc]:
    """Started as a user does, and stopped at the end."""
    with platform(home):
        system = Ltmc(Settings.load())
        try:
            system.warm()
            yield system
        finally:
            system.close()
