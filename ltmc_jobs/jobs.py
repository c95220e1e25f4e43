"""The jobs that follow from calls, and those that recur: path, queue, timeout, retries. Our routing table.

Their bodies are in workers/jobs/; the core knows them by name alone.
"""

from __future__ import annotations

from ltmc_jobs.registry import JobKind, Queue

EMBED_TEXTS = JobKind(
    name="embed_texts", path="workers.jobs.embedding.embed_texts", queue=Queue.EMBEDDING, timeout_seconds=600, batch=8
)
INDEX_VERSION = JobKind(
    name="index_version",
    path="workers.jobs.indexing.index_version",
    queue=Queue.VECTORS,
    timeout_seconds=600,
    changes=("memory",),
)
LINK_VERSION = JobKind(
    name="link_version", path="workers.jobs.graph.link_version", queue=Queue.GRAPH, timeout_seconds=600
)
RESUME_UNFINISHED = JobKind(
    name="resume_unfinished", path="workers.jobs.cleanup.resume_unfinished", queue=Queue.MAINTENANCE, retries=0
)
CLEAN_UP = JobKind(name="clean_up", path="workers.jobs.cleanup.clean_up", queue=Queue.MAINTENANCE, retries=0)

# job kind → every how many seconds
RECURRING = {RESUME_UNFINISHED: 60, CLEAN_UP: 3600}
