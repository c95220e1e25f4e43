"""auto_link_documents: documents find their like, given as texts or stored, and keep no link too many."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from ltmc_jobs.errors import InvalidArguments, NotFound
from ltmc_jobs.queues.contract import new_job_id
from ltmc_jobs.services import Services
from ltmc_jobs.stores.contracts import ChunkText, Document
from tests.tools.calling import Caller, services_without_redis

HARBOUR = "The harbour opens for ships in March. Pilots bring the ships to their berths in the harbour."
SHIPS = "In March the harbour opens for ships again, and pilots guide each ship to its berth."
BREAD = "Knead the dough for ten minutes, let it rise over night, and bake the bread in a hot oven."
LOAF = "The bread dough rises over night after kneading; bake the loaf in a very hot oven."
STARS = "A variable star changes its brightness; some pulsate, some are eclipsed by a companion."


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Services]:
    with services_without_redis(tmp_path_factory.mktemp("auto-link")) as opened:
        yield opened


@pytest.fixture
def call(services: Services) -> Caller:
    """In a project of the test's own."""
    return Caller(services, f"p-{uuid.uuid4().hex}")


def store(call: Caller, name: str, text: str, vector: Any = None) -> int:
    """Store a document as one chunk, with the model's vector or the one given; its id."""
    tiers = call.services.tiers
    document = Document(project=call.project, file_name=name, content=text)
    version = tiers.records.record(document, [ChunkText(text, 0, len(text))], job_id=new_job_id())
    made = tiers.embedder.encode([text])[0] if vector is None else vector
    tiers.records.add_vectors([(version.chunk_ids[0], made)], model=tiers.model)
    assert tiers.records.publish(version.resource_id, version.version)
    return version.resource_id


def similar(call: Caller, name: str) -> set[str]:
    found = call("query_graph", entity=name, relation_type="similar to")["relationships"]
    return {one["path"][-1] for one in found}


def test_texts_are_linked_to_their_like(call: Caller) -> None:
    """A19: the originals' form, a list of texts: who mean the same are linked with their score; again adds none."""
    texts = {"1": HARBOUR, "2": SHIPS, "3": BREAD, "4": LOAF, "5": STARS, "6": "  "}
    documents = [{"id": name, "content": text, "type": "note", "title": "more"} for name, text in texts.items()]
    first = call("auto_link_documents", documents=documents)
    assert {(one["source_id"], one["target_id"]) for one in first["similar"]} == {("1", "2"), ("3", "4")}
    assert all(one["score"] >= first["similarity_threshold"] == 0.6 for one in first["similar"])
    assert (first["documents_processed"], first["links_created"], first["similar_count"]) == (6, 2, 2)
    again = call("auto_link_documents", documents=documents)
    assert (again["links_created"], again["links_removed"], again["similar"]) == (0, 0, first["similar"])
    (link,) = call("get_document_relationships", doc_id="1")["relationships"]
    score = next(one["score"] for one in first["similar"] if one["source_id"] == "1")
    assert link["properties"] == {"source": "embedding", "score": score}
    (node,) = call.services.tiers.graph.nodes(call.project, "Document", ["1"])
    assert node.properties == {"type": "note"}


def test_a_stored_document_finds_its_like_in_the_memory(call: Caller) -> None:
    """A19: one id or a list, by name or number; new texts are compared with what is stored too."""
    store(call, "ships.md", SHIPS)
    store(call, "stars.md", STARS)
    number = store(call, "harbour.md", HARBOUR)
    store(call, "bread.md", BREAD)
    assert call("auto_link_documents", document_id=number)["similar_count"] == 1
    assert similar(call, "harbour.md") == {"ships.md"}
    assert call("auto_link_documents", document_ids=["bread.md", "stars.md"])["similar_count"] == 0
    assert call("auto_link_documents", documents=[{"id": 7, "content": LOAF}])["similar_count"] == 1
    assert similar(call, "7") == {"bread.md"}
    assert call("auto_link_documents", documents=[{"id": "empty", "content": ""}])["documents_processed"] == 1
    store(call, str(number), STARS)
    assert call("auto_link_documents", document_id=[number])["similar"][0]["source_id"] == "harbour.md"
    assert similar(call, str(number)) == set()
    assert (
        call("auto_link_documents", documents=[{"id": "harbour.md"}], similarity_threshold=0.99)["links_removed"] == 1
    )
    assert similar(call, "harbour.md") == set()


def test_a_changed_document_loses_the_links_it_had(call: Caller) -> None:
    """A19: links by likeness are those that hold now; links that a caller made stay."""
    for name, text in (("a.md", HARBOUR), ("b.md", SHIPS), ("c.md", BREAD)):
        store(call, name, text)
    call("auto_link_documents", document_id="a.md")
    call("link_resources", source_id="a.md", target_id="c.md", relation="similar to")
    call("auto_link_documents", document_id="a.md", similarity_threshold=0)
    assert similar(call, "a.md") == {"b.md", "c.md"}
    store(call, "a.md", STARS)
    done = call("auto_link_documents", document_id=["a.md"])
    assert (done["links_removed"], done["similar_count"]) == (1, 0)
    assert similar(call, "a.md") == {"c.md"}


def test_what_most_texts_name_links_none_of_them(call: Caller) -> None:
    """A19: a name in more than a fifth of the texts is dropped, the others become links."""
    documents = [{"id": f"{n}", "content": f"#all and @person{n} in {n}.md"} for n in range(12)]
    done = call("auto_link_documents", documents=documents, similarity_threshold=1.0)
    assert done["mentions_created"] == 24
    assert call("query_graph", entity="#all")["count"] == 0
    assert call("query_graph", entity="@person3")["count"] == 1


def test_what_cannot_be_linked_is_said(call: Caller) -> None:
    """A19: thresholds from 0 to 1; documents that are not there are named."""
    store(call, "a.md", HARBOUR)
    with pytest.raises(NotFound, match=r"nobody\.md, else\.md") as caught:
        call("auto_link_documents", documents=[{"id": "nobody.md"}], document_id=["a.md", "else.md"])
    assert caught.value.details == {"ids": ["nobody.md", "else.md"]}
    for wrong in ({}, {"documents": []}, {"document_id": "a.md", "similarity_threshold": 1.1}, {"documents": [{}]}):
        with pytest.raises(InvalidArguments):
            call("auto_link_documents", **wrong)


def test_a_thousand_documents_are_linked_within_ten_seconds(call: Caller) -> None:
    """A19: 250 groups of four among a thousand; each finds its three, and a hub of all takes at most five."""
    random = np.random.default_rng(7)
    centres = random.standard_normal((250, 384))
    for n in range(1000):
        near = centres[n // 4] + 0.4 * random.standard_normal(384)
        store(call, f"{n:04}", f"Document {n}.", (near / np.linalg.norm(near)).astype(np.float32))
    began = time.monotonic()
    done = call("auto_link_documents", document_id=[f"{n:04}" for n in range(1000)])
    seconds = time.monotonic() - began
    assert (done["documents_processed"], done["similar_count"], done["links_created"]) == (1000, 1500, 1500)
    assert seconds < 10, seconds
    assert similar(call, "0008") == {"0009", "0010", "0011"}
    assert len(done["similar"]) == 100
    alike = [{"id": f"same{n}", "content": HARBOUR} for n in range(20)]
    pairs = call("auto_link_documents", documents=alike)["similar"]
    fan_out = Counter(name for pair in pairs for name in (pair["source_id"], pair["target_id"]))
    assert fan_out
    assert max(fan_out.values()) <= 5
