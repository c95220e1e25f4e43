"""The jobs that follow from calls, and those that recur: path, queue, timeout, retries. Our routing table.

Their bodies are in workers/jobs/; the core knows them by name alone.
"""

from __future__ import annotations

from ltmc_jobs.registry import JobKind, Queue

EMBED_TEXTS = JobKind(
    name="embed_texts", path="workers.jobs.embedding.embed_texts", queue=Queue.EMBEDDING, timeout_seconds=600, batch=8
)
INDEX_VERSIONS = JobKind(
    name="index_versions",
    path="workers.jobs.indexing.index_versions",
    queue=Queue.VECTORS,
    timeout_seconds=600,
    changes=("memory",),
)
BUILD_INDEX = JobKind(
    name="build_index",
    path="workers.jobs.indexing.build_index",
    queue=Queue.MAINTENANCE,
    timeout_seconds=3600,
    executor="process",  # minutes, and the memory of a whole index: nobody is to wait for it
)
REINDEX = JobKind(
    name="reindex",
    path="workers.jobs.reindexing.reindex",
    queue=Queue.MAINTENANCE,
    timeout_seconds=7 * 86_400,
    retries=10,  # a run goes on where the last one was
    executor="process",
    changes=("memory",),
)
LINK_VERSIONS = JobKind(
    name="link_versions",
    path="workers.jobs.graph.link_versions",
    queue=Queue.GRAPH,
    timeout_seconds=600,
    changes=("graph",),
)
LINK_MESSAGES = JobKind(
    name="link_messages", path="workers.jobs.graph.link_messages", queue=Queue.GRAPH, changes=("references",)
)
LOG_RETRIEVAL = JobKind(
    name="log_retrieval", path="workers.jobs.chats.log_retrieval", queue=Queue.LOW, changes=("chats",)
)
RESUME_UNFINISHED = JobKind(
    name="resume_unfinished", path="workers.jobs.cleanup.resume_unfinished", queue=Queue.MAINTENANCE, retries=0
)
CLEAN_UP = JobKind(name="clean_up", path="workers.jobs.cleanup.clean_up", queue=Queue.MAINTENANCE, retries=0)

# job kind → every how many seconds
RECURRING = {RESUME_UNFINISHED: 60, CLEAN_UP: 3600}
