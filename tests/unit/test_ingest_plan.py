"""Which files an ingest takes, what they are called, what it remembers, and how a long text is cut."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api import ingest, ingest_plan, terminal
from api.ingest import job_ids_for, parts
from api.ingest_plan import Found, plan
from api.manifest import Entry, Manifest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with everything that a walk may meet."""
    made = tmp_path / "notes"
    for name in ("b.md", "a.md", "deep/er/c.py", ".hidden.md", ".git/config", "node_modules/x.js", "__pycache__/x.pyc"):
        (made / name).parent.mkdir(parents=True, exist_ok=True)
        (made / name).write_text("words")
    return made


def names(found: ingest_plan.Plan) -> list[str]:
    return [file.name for file in found.files]


def test_a_folder_is_walked_in_order_and_named_from_its_parent(folder: Path) -> None:
    found = plan([folder])
    assert names(found) == ["notes/a.md", "notes/b.md", "notes/deep/er/c.py"]
    assert found.broken == []


def test_names_do_not_depend_on_how_a_path_is_written(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    assert names(plan([Path()])) == names(plan([folder])) == names(plan([Path("deep/..")]))
    assert names(plan([Path("a.md"), Path("deep")])) == ["a.md", "deep/er/c.py"]


def test_globs_choose_by_the_name_or_its_last_part(folder: Path) -> None:
    assert names(plan([folder], include=["*.py"])) == ["notes/deep/er/c.py"]
    assert names(plan([folder], include=["a.*", "notes/deep/*"])) == ["notes/a.md", "notes/deep/er/c.py"]
    assert names(plan([folder], exclude=["*.md"])) == ["notes/deep/er/c.py"]


def test_a_file_named_by_itself_is_taken_even_if_hidden(folder: Path) -> None:
    assert names(plan([folder / ".hidden.md"])) == [".hidden.md"]


def test_loops_of_links_end_and_dead_links_are_broken(folder: Path) -> None:
    (folder / "loop").symlink_to(folder)
    (folder / "deep" / "up").symlink_to(folder / "deep")
    (folder / "dead.md").symlink_to(folder / "nowhere")
    found = plan([folder])
    assert names(found) == ["notes/a.md", "notes/b.md", "notes/deep/er/c.py"]
    assert found.broken == [("notes/dead.md", "No such file or directory")]


def test_a_link_that_leads_outside_is_never_followed(folder: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret.txt").write_text("hunter2")
    (tmp_path / "notes-too").mkdir()  # its path begins like the root's
    (folder / "etc").symlink_to(outside)
    (folder / "secret.txt").symlink_to(outside / "secret.txt")
    (folder / "again.txt").symlink_to(folder / "secret.txt")
    (folder / "deep" / "up").symlink_to("../..")
    (folder / "beside").symlink_to(tmp_path / "notes-too")
    found = plan([folder])
    assert names(found) == ["notes/a.md", "notes/b.md", "notes/deep/er/c.py"]
    links = ("again.txt", "beside", "deep/up", "etc", "secret.txt")
    assert found.skipped == [(f"notes/{name}", "a link that leads outside") for name in links]
    (tmp_path / "root").symlink_to(outside)
    assert names(plan([tmp_path / "root"])) == ["root/secret.txt"], "a PATH that is given may be one itself"
    assert "outside/secret.txt" in names(plan([folder, outside])), "inside is what is given"


def test_a_link_inside_is_followed_once(folder: Path) -> None:
    (folder / "also.md").symlink_to(folder / "a.md")
    (folder / "aaa").symlink_to(folder / "deep")
    for number in range(12):  # each leads to all: as many ways as there are orders
        (folder / f"ring{number}").mkdir()
        for other in range(12):
            (folder / f"ring{number}" / f"to{other}").symlink_to(folder / f"ring{other}")
    assert names(plan([folder])) == ["notes/a.md", "notes/also.md", "notes/b.md", "notes/deep/er/c.py"]


def test_the_same_file_twice_is_one_and_two_of_one_name_are_told(folder: Path, tmp_path: Path) -> None:
    assert names(plan([folder, folder, folder / "."])) == names(plan([folder]))
    other = tmp_path / "other" / "notes"
    other.mkdir(parents=True)
    (other / "a.md").write_text("another")
    found = plan([folder, other])
    assert names(found) == names(plan([folder]))
    assert [name for name, _ in found.broken] == ["notes/a.md"]
    assert str(other) in found.broken[0][1]


def test_what_is_too_large_or_no_file_is_left_out(folder: Path) -> None:
    with (folder / "large.txt").open("wb") as file:
        file.truncate(ingest_plan.LARGEST + 1)
    os.mkfifo(folder / "pipe")
    assert dict(plan([folder]).skipped) == {
        "notes/large.txt": "20 MB; at most 20 MB are taken",
        "notes/pipe": "not a regular file",
    }


def test_names_are_composed_unicode_whatever_the_file_system_has(tmp_path: Path) -> None:
    (tmp_path / "u\u0308ber.md").write_text("decomposed, as on macOS")
    assert names(plan([tmp_path])) == [f"{tmp_path.name}/\u00fcber.md"]
    os.close(os.open(os.fsencode(tmp_path) + b"/\xff.md", os.O_CREAT | os.O_WRONLY))
    assert f"{tmp_path.name}/\ufffd.md" in names(plan([tmp_path]))


def test_no_name_has_a_control_character(tmp_path: Path) -> None:
    (tmp_path / "a\x1b[31m\nb\x85.md").write_text("words")
    assert names(plan([tmp_path])) == [f"{tmp_path.name}/a\ufffd[31m\ufffdb\ufffd.md"]


def test_what_is_shown_steers_no_terminal() -> None:
    assert terminal.printable("a\x1b[31m\nb\u202ec\x9bd – ü") == "a\\x1b[31m\\nb\\u202ec\\x9bd – ü"


def found_file(name: str = "notes/a.md", size: int = 5, mtime_ns: int = 1) -> Found:
    return Found(Path("/somewhere") / name, name, size, mtime_ns)


def test_the_manifest_outlives_its_process_and_is_for_its_owner_alone(tmp_path: Path) -> None:
    file = tmp_path / "ingest" / "default.sqlite"
    made = Manifest(file, "memory-1")
    made.note_sent(found_file(), "digest", ["job-1", "job-2"])  # and never closed, as after a kill
    again = Manifest(file, "memory-1")
    assert again.find("notes/a.md") == Entry(5, 1, "digest", ("job-1", "job-2"), "sent")
    again.note_state("notes/a.md", "searchable")
    again.note_touched(found_file(mtime_ns=2))
    assert made.find("notes/a.md") == Entry(5, 2, "digest", ("job-1", "job-2"), "searchable")
    assert Manifest(file, "memory-2").find("notes/a.md") is None, "another memory knows nothing of it"
    for path in file.parent.iterdir():
        assert path.stat().st_mode & 0o077 == 0, path
    assert file.parent.stat().st_mode & 0o077 == 0


def test_an_interrupted_file_is_sent_again_under_its_ids_and_a_changed_one_under_new_ones() -> None:
    kept = Entry(5, 1, "digest", ("one", "two"), "sent")
    assert job_ids_for(kept, "digest", 2) == ("one", "two")
    for other in (job_ids_for(kept, "changed", 2), job_ids_for(kept, "digest", 1), job_ids_for(None, "digest", 2)):
        assert not {"one", "two"} & set(other)
    failed = Entry(5, 1, "digest", ("one", "two"), "failed")
    assert not {"one", "two"} & set(job_ids_for(failed, "digest", 2))


def test_a_text_that_one_job_carries_is_not_cut() -> None:
    text = "word " * 300_000
    assert list(parts(text)) == [text]


@pytest.mark.parametrize("text", ["a paragraph\n\n" * 200_000, "字" * 1_200_000, "🦉 " * 700_000, "x" * 2_500_000])
def test_a_long_text_is_cut_into_parts_that_jobs_carry(text: str) -> None:
    import json

    cut = list(parts(text))
    assert len(cut) > 1
    assert "".join(cut) == text
    assert all(len(json.dumps(part)) <= ingest.PART_BYTES for part in cut)
    if "\n\n" in text:
        assert all(part.endswith("\n\n") for part in cut)


@given(st.text(max_size=400), st.integers(2, 50))
def test_cutting_loses_nothing(text: str, longest: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ingest, "PART_CHARACTERS", longest)
        patch.setattr(ingest, "SAFE_CHARACTERS", longest)
        cut = list(parts(text))
    assert "".join(cut) == text
    assert all(0 < len(part) <= longest for part in cut[1:])


def test_parts_have_the_names_that_are_documented() -> None:
    assert [ingest.part_name("a.md", number) for number in range(3)] == ["a.md", "a.md#part-2", "a.md#part-3"]
