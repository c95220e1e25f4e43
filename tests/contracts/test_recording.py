"""Recording: what makes a new version, and to which conversation it belongs."""

from __future__ import annotations

from dataclasses import replace

from ltmc_jobs.stores.contracts import Document, Records, Scope
from tests.contracts.conftest import Writer


def test_a_repeated_job_or_content_makes_no_new_version(writer: Writer, records: Records) -> None:
    """A01: at least once outside is once inside."""
    first = writer.record("a.md", "one\n", job_id="job-1")
    again = writer.record("a.md", "something else\n", job_id="job-1")
    same = writer.record("a.md", "one\n")
    assert (first.created, again.created, same.created) == (True, False, False)
    assert (again.version, same.version, same.chunk_ids) == (1, 1, first.chunk_ids)
    assert writer.record("a.md", "one\n", resource_type="code").version == 2
    assert writer.record("a.md", "one\n").version == 3  # not the newest version any more
    assert records.count() == {"resources": 1, "versions": 3, "chunks": 3, "vectors": 0}


def test_one_job_may_record_several_documents(writer: Writer) -> None:
    """A01: a job is repeated when it records the same document again, not when it records another one."""
    first = writer.record("a.md", "one\n", job_id="job-1")
    other = writer.record("b.md", "two\n", job_id="job-1")
    elsewhere = writer.record("a.md", "three\n", project="other", job_id="job-1")
    assert (other.created, elsewhere.created) == (True, True)
    assert len({first.resource_id, other.resource_id, elsewhere.resource_id}) == 3


def test_what_is_recorded_already_is_known_before_cutting_it(writer: Writer, records: Records) -> None:
    """A01: `recorded` says what `record` would return, and writes nothing."""
    document = Document(project="default", file_name="a.md", content="one\n")
    assert records.recorded(document, job_id="job-2") is None
    version = writer.record("a.md", "one\n", job_id="job-1")
    for asked, job_id in ((document, "job-2"), (replace(document, content="other\n"), "job-1")):
        found = records.recorded(asked, job_id=job_id)
        assert found is not None
        assert (found.version, found.chunk_ids, found.created) == (1, version.chunk_ids, False)
    for field in ("conversation_id", "speaker"):
        assert records.recorded(replace(document, **{field: "other"}), job_id="job-2") is None


def test_a_version_belongs_to_its_own_conversation(writer: Writer, records: Records) -> None:
    """A02: a newer version of another conversation takes a document away only once it is visible."""
    old = writer.record("a.md", "harbour one\n", conversation_id="A")
    writer.embed(old)
    assert records.publish(old.resource_id, old.version)
    new = writer.record("a.md", "harbour two\n", conversation_id="B")
    both = [*old.chunk_ids, *new.chunk_ids]
    assert records.searchable(both, scope=Scope("default", "A")) == set(old.chunk_ids)
    assert records.searchable(both, scope=Scope("default", "B")) == set()
    writer.embed(new)
    assert records.publish(new.resource_id, new.version)
    assert records.searchable(both, scope=Scope("default", "A")) == set()
    assert records.searchable(both, scope=Scope("default", "B")) == set(new.chunk_ids)


def test_names_are_unique_in_a_project(writer: Writer) -> None:
    """M02: one document per name and project; the same name elsewhere is another document."""
    here, there = writer.record("a.md", "x\n", project="one"), writer.record("a.md", "x\n", project="two")
    assert here.resource_id != there.resource_id
    assert here.version == there.version == 1
