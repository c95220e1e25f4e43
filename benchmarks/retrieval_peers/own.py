"""The repository's own writing: its documents and its functions, with questions and where their answers stand.

An answer is told by a few words of it, so that it is found again when the text around it has changed. For a document it
is the paragraph, the item of a list or the line of a table that holds them; for a function, its name.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

from benchmarks.retrieval_peers.cases import Case, Question, Room, Span, Text

ROOT = Path(__file__).parents[2]
EDGE = re.compile(r"\n(?:\n+|(?=- |\|))")  # of a paragraph, an item, a line of a table
PACKAGES = ("memory", "stores")
DOCUMENTS = (
    ("what becomes of a task when the process that runs it is killed?", "architecture.md", "its job is not lost"),
    ("how much do we lose in a power cut?", "architecture.md", "the *machine* loses power"),
    ("can a stored pickle run code in my worker?", "architecture.md", "Only declared functions run"),
    ("why does no worker wait for another job?", "architecture.md", "No worker waits for a job"),
    ("how do I check whether everything on my machine is set up right?", "operations.md", "`ltmc doctor` looks for"),
    ("which server configuration does it want for Redis?", "operations.md", "maxmemory-policy noeviction"),
    ("how do I change the key that jobs are signed with?", "operations.md", "To rotate the key"),
    ("stop giving jobs to one host before I switch it off", "operations.md", "`ltmc drain HOST`"),
    ("which metric tells how long jobs stood in line?", "operations.md", "`ltmc_job_wait_seconds` | queue"),
    ("when are old jobs deleted?", "operations.md", "Jobs that ended seven days ago"),
    ("can a low priority job wait for ever?", "operations.md", "So that a flood above does not keep"),
    ("how big do log files become?", "operations.md", "One beyond 10 MB is put aside"),
    ("replicas and failover of Redis", "operations.md", "To make it redundant, give it a replica"),
    ("may the file of the database die with its process?", "operations.md", "**The SQLite file**"),
    ("are my search queries written down anywhere?", "operations.md", "keeps no query in the chat history"),
    ("what exactly is in a backup file?", "operations.md", "One file, which only its owner may read"),
    ("how do I move back after restoring a copy?", "operations.md", "To go back after a restore"),
    ("run it as a systemd service", "deployment.md", "As a systemd unit"),
    ("may the data directory be on NFS?", "deployment.md", "should be on a local disk"),
    ("let others on my network call the server", "deployment.md", "opens the API; everybody then needs the token"),
    ("web pages from another origin get blocked", "deployment.md", "Pages of other origins may call"),
    ("several API servers behind a load balancer", "deployment.md", "A front end keeps nothing of its callers"),
    ("a search does not show the note I saved a second ago", "troubleshooting.md", "what was just stored"),
    ("vectors in the file come from a different model", "troubleshooting.md", "`model_mismatch`"),
    ("who may open the dashboard, I get a 403", "troubleshooting.md", "403 on `/rq`"),
    ("how many workers should I run?", "tuning.md", "up to the processors that the host has to spare"),
    ("store a thousand files quickly", "tuning.md", "Many documents go into one call"),
    ("for how long are results cached?", "tuning.md", "The answers of tools that only read are kept"),
    ("which argument of my function gets the worker's parts?", "your-tools.md", "A first parameter called"),
    ("one of my tool files has a syntax error, does everything stop?", "your-tools.md", "costs its own tools"),
)
FUNCTIONS = (
    ("cut a text into pieces that the model can read whole", "chunking.split"),
    ("combine the score of the vector with that of the words and of the neighbours", "fusion.fuse"),
    ("which weights are used for this type of document", "kinds.kind_of"),
    ("people, files and links that a text talks about", "mentions.mentions"),
    ("take away the stop words of a query", "words.asked_in"),
    ("inverse document frequency of a term", "words_sqlite.rarity"),
    ("documents one step away in the graph", "retrieval.related"),
    ("text that says when something happened and who said it", "ingestion.header"),
    ("make a new version of a document visible to readers", "records_sqlite.publish"),
    ("have a vector for each text that a project stores", "records_sqlite.vectors_after"),
)


def own() -> Case:
    """Two rooms: what people read, and what Python reads."""
    files = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
    documents = {file.name: Text(file.name, file.read_text(), "document") for file in files}
    functions = {name: Text(name, source, "code") for name, source in _functions()}
    asked = [Question(text, (_place(documents[name], words),)) for text, name, words in DOCUMENTS]
    wanted = [Question(text, (_span(functions[name]),)) for text, name in FUNCTIONS]
    rooms = (
        Room("own-documents", tuple(documents.values()), tuple(asked)),
        Room("own-functions", tuple(functions.values()), tuple(wanted)),
    )
    return Case("own writing", rooms, by_span=True)


def _functions() -> Iterator[tuple[str, str]]:
    """Every public function that says what it does, as module.name."""
    for package in PACKAGES:
        for file in sorted((ROOT / "ltmc_jobs" / package).glob("*.py")):
            source = file.read_text()
            for node in ast.walk(ast.parse(source)):
                if isinstance(node, ast.FunctionDef) and not node.name.startswith("_") and ast.get_docstring(node):
                    yield f"{file.stem}.{node.name}", ast.get_source_segment(source, node) or ""


def _place(text: Text, words: str) -> Span:
    """The paragraph, item of a list or line of a table that holds these words."""
    at = text.content.find(words)
    if at < 0:
        raise SystemExit(f"{text.name} no longer says {words!r}: mend the question in {__name__}")
    edges = [0, *(found.end() for found in EDGE.finditer(text.content)), len(text.content)]
    start, end = next((start, end) for start, end in pairwise(edges) if start <= at < end)
    return Span(text.name, start, end)


def _span(text: Text) -> Span:
    return Span(text.name, 0, len(text.content))
