"""A text that is stored already is not embedded again."""

from __future__ import annotations

from ltmc_jobs.memory import ingestion
from ltmc_jobs.queues.contract import Principal
from ltmc_jobs.stores.contracts import ChunkText, Version, digest_of


def test_texts_that_have_vectors_are_not_sent() -> None:
    """P04: neither those that are known, nor one twice; a version of known texts alone needs no embedding."""
    version = Version(1, 1, "default", "a.md", "document", "recorded", "job", (1, 2, 3), True)
    chunks = [ChunkText(text, 0, 3) for text in ("old", "new", "new")]

    def sent(*known: str) -> list[list[str]]:
        specs = ingestion.following(
            [(version, chunks)],
            model="m",
            principal=Principal(),
            trace_id="t",
            known={digest_of(text) for text in known},
        )["searchable"]
        return [spec.args["texts"] for spec in specs if spec.kind.name == "embed_texts"]

    assert sent() == [["old", "new"]]
    assert sent("old") == [["new"]]
    assert sent("old", "new") == []
