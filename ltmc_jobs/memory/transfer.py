"""The memory as records: forget what is named, read all of it out page by page, and take it in again."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ltmc_jobs.errors import InvalidArguments
from ltmc_jobs.memory.attempts import Attempts
from ltmc_jobs.memory.intake import Intake
from ltmc_jobs.memory.memory import Memory
from ltmc_jobs.memory.naming import WORDS, words_of
from ltmc_jobs.results.transfer import ExportedMemory, ForgottenMemory, ImportedMemory
from ltmc_jobs.stores.contracts import Corpus, Edge, Graph
from ltmc_jobs.stores.contracts.transfer import KINDS, EdgeList, Kind, Selection, Transfer

FORGET_AT_ONCE = 200  # documents in one transaction: others write between
NAMES_SHOWN = 100
PAGE_CHARACTERS = 2_000_000
ALL = 1_000_000
READ_AT_ONCE = 20  # documents may be long


class Tiers(Protocol):
    """What leaving and coming stand on."""

    @property
    def corpus(self) -> Corpus: ...
    @property
    def graph(self) -> Graph: ...
    @property
    def transfer(self) -> Transfer: ...
    @property
    def edges(self) -> EdgeList: ...


@dataclass(frozen=True, slots=True)
class Traces:
    """What a forgotten text leaves beside the stores, and how it is wiped."""

    forget_jobs: Callable[[list[str]], object]  # those that ended
    flush_cache: Callable[[], int]


class Passage:
    """What leaves the memory of one project, and what comes into it."""

    def __init__(
        self,
        tiers: Tiers,
        memory: Memory,
        attempts: Attempts,
        project: str,
        traces: Traces,
        tell: Callable[[float, float, str], None],
    ) -> None:
        self._tiers, self._memory, self._attempts, self._project = tiers, memory, attempts, project
        self._traces, self._tell = traces, tell

    def forget(self, **selected: str | None) -> ForgottenMemory:
        """Remove the documents of a Selection from every tier."""
        return forget(self._tiers, Selection(self._project, **selected), self._traces, self._tell)

    def export(
        self,
        kinds: Sequence[Kind] | None,
        *,
        cursor: str | None,
        limit: int,
        with_versions: bool,
        **selected: str | None,
    ) -> ExportedMemory:
        """A page of the records of a Selection."""
        selection = Selection(self._project, **selected)
        return export(self._tiers, selection, kinds or KINDS, cursor=cursor, limit=limit, with_versions=with_versions)

    def take_in(self, records: Sequence[Any], *, first_line: int) -> ImportedMemory:
        """Take records in."""
        return Intake(self._tiers, self._memory, self._attempts, self._project).take(records, first_line=first_line)


def forget(
    tiers: Tiers, selection: Selection, traces: Traces, tell: Callable[[float, float, str], None]
) -> ForgottenMemory:
    """Remove documents from every tier, and of a whole conversation its messages too.

    The jobs that stored them go as well, since they hold the texts. Again, it finds nothing more.
    """
    if selection.is_project:
        raise InvalidArguments("say what to forget: file_name, conversation_id, resource_type", field="file_name")
    transfer, graph, project = tiers.transfer, tiers.graph, selection.project
    total = transfer.total("document", selection)
    counts = [0, 0, 0, 0, 0]
    names: list[str] = []
    nodes = 0
    while held := transfer.held(selection, limit=FORGET_AT_ONCE):
        ends = {
            "Document": [document.file_name for document in held],
            "Chunk": [str(chunk_id) for document in held for chunk_id in document.chunk_ids],
        }
        near = _entities(graph, project, ends["Document"])
        # Before the records too: were this run cut off in between, its second run would not know the nodes.
        for label, keys in ends.items():
            nodes += len(graph.nodes(project, label, keys))
            graph.remove(project, label, keys)
        gone = transfer.forget(project, [document.resource_id for document in held])
        for label, keys in ends.items():  # a linking job may have been at it just now
            graph.remove(project, label, keys)
        busy = graph.around(project, [("Entity", key) for key in near], fan_out=1)
        alone = [key for key in near if ("Entity", key) not in busy]
        graph.remove(project, "Entity", alone)
        nodes += len(alone)
        traces.forget_jobs([job_id for document in held for job_id in document.job_ids])
        counts = [before + now for before, now in zip(counts, gone, strict=True)]
        names += [document.file_name for document in held]
        tell(len(names), max(total, len(names)), "documents forgotten")
    messages = 0
    if selection.is_conversation:
        conversation = selection.conversation_id or ""
        said = [str(number) for number in transfer.message_ids(project, conversation)]
        nodes += len(graph.nodes(project, "Message", said))
        graph.remove(project, "Message", said)  # before, as above
        messages = transfer.forget_messages(project, conversation)
        graph.remove(project, "Message", said)
    documents, versions, chunks, vectors, patterns = counts
    told = f"forgot {documents} documents with {versions} versions" + (f", {messages} messages" if messages else "")
    return ForgottenMemory(
        message=told if documents or messages else "there was nothing of that kind",
        documents=documents,
        versions=versions,
        chunks=chunks,
        vectors=vectors,
        patterns=patterns,
        nodes=nodes,
        messages=messages,
        cached=traces.flush_cache(),
        file_names=names[:NAMES_SHOWN],
    )


def _entities(graph: Graph, project: str, file_names: list[str]) -> list[str]:
    """What these documents speak of: people, addresses, numbers; who is spoken of nowhere else goes with them."""
    edges = graph.around(project, [("Document", name) for name in file_names], without=("HAS_CHUNK",), fan_out=ALL)
    ends = {end for found in edges.values() for edge in found for end in (edge.source, edge.target)}
    return sorted(key for label, key in ends if label == "Entity")


def export(
    tiers: Tiers, selection: Selection, kinds: Sequence[Kind], *, cursor: str | None, limit: int, with_versions: bool
) -> ExportedMemory:
    """A page of at most `limit` records and 2 M characters, but one record at least."""
    wanted = [kind for kind in KINDS if kind in kinds and _holds(selection, kind)]
    at, after = _place(cursor, wanted)
    records: list[dict[str, Any]] = []
    size = 0
    while at < len(wanted):
        room = limit - len(records)
        if wanted[at] != "link":  # a link is short, and each look for some passes over all before them
            room = min(room, READ_AT_ONCE)
        found = _items(tiers, wanted[at], selection, after, room, with_versions) if room else []
        for number, record in found:
            length = len(json.dumps(record, ensure_ascii=False))
            if records and size + length > PAGE_CHARACTERS:
                return _page(tiers, selection, wanted, records, f"{wanted[at]}:{after}")
            records.append(record)
            size, after = size + length, number
        if len(records) >= limit:
            return _page(tiers, selection, wanted, records, f"{wanted[at]}:{after}")
        if len(found) < room:
            at, after = at + 1, 0
    return _page(tiers, selection, wanted, records, None)


def _page(
    tiers: Tiers, selection: Selection, wanted: Sequence[Kind], records: list[dict[str, Any]], cursor: str | None
) -> ExportedMemory:
    project = selection.project
    totals = {
        f"{kind}s": tiers.edges.total(project) if kind == "link" else tiers.transfer.total(kind, selection)
        for kind in wanted
    }
    return ExportedMemory(records, len(records), cursor, totals)


def _holds(selection: Selection, kind: Kind) -> bool:
    """Whether there can be records of a kind in a selection: a type of documents has no todos."""
    return kind == "document" or selection.is_project or (kind == "message" and selection.is_conversation)


def _place(cursor: str | None, wanted: Sequence[Kind]) -> tuple[int, int]:
    if cursor is None:
        return 0, 0
    kind, _, after = cursor.partition(":")
    if kind not in wanted or not after.isdecimal() or len(after) > 18:
        raise InvalidArguments("this is no next_cursor of an export with the same arguments", field="cursor")
    return [*wanted].index(kind), int(after)  # type: ignore[arg-type]


def _items(
    tiers: Tiers, kind: Kind, selection: Selection, after: int, limit: int, with_versions: bool
) -> list[tuple[int, dict[str, Any]]]:
    if kind != "link":
        return tiers.transfer.items(kind, selection, after=after, limit=limit, with_versions=with_versions)
    edges = tiers.edges.page(selection.project, offset=after, limit=limit)
    return [(after + place, _link(edge)) for place, edge in enumerate(edges, 1)]


def _link(edge: Edge) -> dict[str, Any]:
    return {
        "kind": "link",
        "source_kind": edge.source[0].lower(),
        "source": edge.source[1],
        "relation": words_of(edge),
        "target_kind": edge.target[0].lower(),
        "target": edge.target[1],
        "properties": {name: value for name, value in edge.properties.items() if name != WORDS},
    }
