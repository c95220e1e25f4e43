"""Intake: records as an export wrote them, or as another memory's were read, into a project.

Again, they change nothing. A record that cannot be taken is told with its line, and stops no other.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Annotated, Any, Literal, Protocol

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from ltmc_jobs.errors import InvalidArguments
from ltmc_jobs.memory.attempts import Attempts
from ltmc_jobs.memory.memory import Memory
from ltmc_jobs.memory.naming import WORDS, check_file_name, relation_of
from ltmc_jobs.moments import Moment
from ltmc_jobs.results.transfer import ImportedMemory, RefusedRecord
from ltmc_jobs.stores.contracts import Corpus, Edge, End, Graph, Node
from ltmc_jobs.stores.contracts.transfer import Transfer

SHOWN = 200  # refused records
LONGEST = 4_000_000
Name = Annotated[str, Field(min_length=1, max_length=1024, pattern=r"^[^\x00-\x1f\x7f]+$")]
Word = Annotated[str, Field(min_length=1, max_length=256)]
Text = Annotated[str, Field(max_length=LONGEST)]


class _Record(BaseModel):
    # What a later version writes beside is passed over.
    model_config = ConfigDict(extra="ignore")


class DocumentRecord(_Record):
    """A document; `created_at` is when it was first stored."""

    kind: Literal["document"]
    file_name: Name
    content: Text
    resource_type: Annotated[str, Field(min_length=1, max_length=64)] = "document"
    conversation_id: Word | None = None
    speaker: Word | None = None
    occurred_at: Moment | None = None
    position: Annotated[int, Field(ge=0, le=2**53)] | None = None
    created_at: Moment | None = None


class Used(_Record):
    """A chunk that a message used."""

    file_name: Name
    chunk_index: Annotated[int, Field(ge=0, le=2**31)]


class MessageRecord(_Record):
    """What was said."""

    kind: Literal["message"]
    conversation_id: Word
    role: Annotated[str, Field(min_length=1, max_length=64)]
    content: Text
    timestamp: Moment
    agent_name: Word | None = None
    metadata: dict[str, Any] | None = None
    source_tool: Word | None = None
    used: list[Used] = []


class TodoRecord(_Record):
    """What is to be done."""

    kind: Literal["todo"]
    title: Annotated[str, Field(min_length=1, max_length=1000)]
    description: Annotated[str, Field(max_length=100_000)] = ""
    priority: Literal["low", "medium", "high"] = "medium"
    completed: bool = False
    created_at: Moment
    completed_at: Moment | None = None


class PatternContext(_Record):
    """What was around an attempt at code."""

    context_type: Word
    context_data: Text


class PatternRecord(_Record):
    """An attempt at code."""

    kind: Literal["pattern"]
    function_name: str | None = None
    file_name: str | None = None
    module_name: str | None = None
    input_prompt: Text
    generated_code: Text
    result: Literal["pass", "fail", "partial"]
    execution_time_ms: Annotated[int, Field(ge=0, le=2**53)] | None = None
    error_message: str | None = None
    tags: list[Word] = []
    created_at: Moment
    context: list[PatternContext] = []


class LinkRecord(_Record):
    """A link between two things; an entity of a document's name is that document."""

    kind: Literal["link"]
    source: Name
    source_kind: Literal["document", "entity"] = "entity"
    relation: Word
    target: Name
    target_kind: Literal["document", "entity"] = "entity"
    properties: dict[str, Any] = {}


Record = Annotated[
    DocumentRecord | MessageRecord | TodoRecord | PatternRecord | LinkRecord, Field(discriminator="kind")
]
_READ: TypeAdapter[Record] = TypeAdapter(Record)


class Tiers(Protocol):
    """What is written to, beside the memory."""

    @property
    def corpus(self) -> Corpus: ...
    @property
    def graph(self) -> Graph: ...
    @property
    def transfer(self) -> Transfer: ...


class Intake:
    """One call's records."""

    def __init__(self, tiers: Tiers, memory: Memory, attempts: Attempts, project: str) -> None:
        self._tiers, self._memory, self._attempts, self._project = tiers, memory, attempts, project
        self._added: Counter[str] = Counter()
        self._refused: list[RefusedRecord] = []
        self._linked: list[int] = []  # messages that used chunks

    def take(self, records: Sequence[Any], *, first_line: int = 1) -> ImportedMemory:
        """Take records, documents first: messages and links may name them."""
        read = [(line, found) for line, given in enumerate(records, first_line) if (found := self._read(line, given))]
        self._store([(line, found) for line, found in read if isinstance(found, DocumentRecord)])
        for line, found in read:
            if isinstance(found, MessageRecord | TodoRecord | PatternRecord):
                self._add(line, found)
        if self._linked:
            self._memory.link_messages(self._linked)
        self._link([(line, found) for line, found in read if isinstance(found, LinkRecord)])
        added, refused = self._added, sorted(self._refused, key=lambda one: one.line)
        total = sum(added.values()) - added["unchanged"]
        told = f"{total} records taken, {added['unchanged']} were there" + (f", {len(refused)} refused" * bool(refused))
        return ImportedMemory(
            message=told,
            documents=added["document"],
            messages=added["message"],
            todos=added["todo"],
            patterns=added["pattern"],
            links=added["link"],
            unchanged=added["unchanged"],
            refused=refused[:SHOWN],
        )

    def _read(self, line: int, given: Any) -> Record | None:
        try:
            return _READ.validate_python(given)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False)[0]
            where = ".".join(str(part) for part in first["loc"][1:])
            reason = first["msg"] if isinstance(given, dict) else f"not an object: {str(given)[:200]}"
            self._refuse(line, f"{where}: {reason}" if where else reason)
        return None

    def _refuse(self, line: int, reason: str) -> None:
        self._refused.append(RefusedRecord(line, reason))

    def _store(self, documents: Sequence[tuple[int, DocumentRecord]]) -> None:
        wanted: dict[str, tuple[int, DocumentRecord]] = {}
        for line, found in documents:
            if found.file_name in wanted:
                self._refuse(wanted[found.file_name][0], f"{found.file_name} comes again on line {line}, which counts")
            wanted[found.file_name] = (line, found)
        new: list[tuple[int, DocumentRecord]] = []
        for line, found in wanted.values():
            fields = found.model_dump(exclude={"kind", "created_at"})
            try:
                check_file_name(found.file_name)
                is_known = self._tiers.transfer.is_recorded(self._project, fields)
            except InvalidArguments as error:  # not its name to take, or no Unicode text
                self._refuse(line, str(error))
                continue
            if is_known:
                self._added["unchanged"] += 1
            else:
                new.append((line, found))
        if not new:
            return
        stored = self._memory.store([found.model_dump(exclude={"kind", "created_at"}) for _, found in new])
        self._added["document"] += len(new)
        for (_, found), made in zip(new, stored.documents, strict=True):
            if found.created_at:
                self._tiers.transfer.date(made.resource_id, made.version, found.created_at)

    def _add(self, line: int, found: MessageRecord | TodoRecord | PatternRecord) -> None:
        try:
            number, is_new = self._tiers.transfer.add(found.kind, self._project, found.model_dump(exclude={"kind"}))
            if isinstance(found, MessageRecord) and found.used:
                self._linked.append(number)
            if isinstance(found, PatternRecord):  # again too: a run may have been cut off before this
                self._attempts.make_findable(number, found.input_prompt, found.generated_code)
        except InvalidArguments as error:
            self._refuse(line, str(error))
        else:
            self._added[found.kind if is_new else "unchanged"] += 1

    def _link(self, links: Sequence[tuple[int, LinkRecord]]) -> None:
        names = {name for _, found in links for name in (found.source, found.target)}
        documents = self._tiers.corpus.named(self._project, sorted(names)) if names else {}

        def end(name: str, kind: str) -> End:
            return ("Document" if kind == "document" or name in documents else "Entity", name)

        for line, found in links:
            try:
                kind = relation_of(found.relation)
                words = {} if found.relation == kind else {WORDS: found.relation}
                edge = Edge(
                    self._project,
                    end(found.source, found.source_kind),
                    kind,
                    end(found.target, found.target_kind),
                    {"source": "import", **found.properties, **words},
                )
                made = self._tiers.graph.merge([Node(self._project, *edge.source)], [edge]).edges
            except InvalidArguments as error:
                self._refuse(line, str(error))
            else:
                self._added["link" if made else "unchanged"] += 1
