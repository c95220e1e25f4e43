"""`ltmc ingest` against a running platform: good, broken and unchanged files, a killed run, and real documents."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import time
from collections import Counter
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.conftest import ROOT, Platform, ltmc_command
from tests.acceptance.test_cli import called, on_terminal
from tests.unit.test_extractors import make_pdf

QUESTIONS = 12
PAGE = "<title>Opening hours</title><p>The aquarium opens at ten, and feeds its penguins at noon.</p>"


def ask(platform: Platform, project: str, question: str, top_k: int = 5) -> list[dict[str, Any]]:
    """The passages that `ltmc ask` prints."""
    done = called(platform, "ask", question, "--project", project, "--top-k", top_k)
    assert done.returncode == 0, done.stderr
    passages: list[dict[str, Any]] = json.loads(done.stdout)["retrieved_chunks"]
    return passages


def test_good_broken_and_unchanged_files(platform: Platform, tmp_path: Path) -> None:
    """Broken files are named with their reason and cost nobody else anything; unchanged ones are not sent again."""
    folder = tmp_path / "zoo"
    (folder / "deep").mkdir(parents=True)
    (folder / "otter.md").write_text("# Otters\n\nOtters hold hands while they sleep, so that they do not drift apart.")
    (folder / "deep" / "hours.html").write_text(PAGE)
    (folder / "keeper.pdf").write_bytes(make_pdf("The keeper of the giraffes is called Wanda."))
    (folder / "feed.py").write_text("def feed(animal):\n    '''Give an animal its hay.'''\n    return animal\n")
    (folder / "latin.txt").write_bytes("Der Bär schläft im Winter.".encode("latin-1"))
    (folder / "empty.md").touch()
    (folder / "torn.pdf").write_bytes(make_pdf("lost")[:200])
    (folder / "locked.pdf").write_bytes(make_pdf("secret", password="sesame"))
    (folder / "photo.jpg").write_bytes(b"\xff\xd8\xff\xe0\x00\x10JFIF\x00")
    (folder / "outside").symlink_to(tmp_path)

    done = called(platform, "ingest", folder, "--project", "zoo")
    assert done.returncode == 1, done.stderr
    assert "5 searchable, 0 unchanged, 2 skipped, 3 broken" in done.stdout
    assert "broken zoo/empty.md: it is empty" in done.stderr
    assert "broken zoo/locked.pdf: the PDF is encrypted" in done.stderr
    assert "broken zoo/torn.pdf: the PDF is damaged" in done.stderr
    assert "skipped zoo/photo.jpg: a binary file" in done.stderr
    assert "skipped zoo/outside: a link that leads outside" in done.stderr
    assert "Traceback" not in done.stderr

    assert ask(platform, "zoo", "When are the penguins fed?")[0]["file_name"] == "zoo/deep/hours.html"
    assert ask(platform, "zoo", "Who cares for the giraffes?")[0]["file_name"] == "zoo/keeper.pdf"
    assert ask(platform, "no-zoo", "Who cares for the giraffes?") == [], "another project sees nothing"

    for name in ("empty.md", "torn.pdf", "locked.pdf"):
        (folder / name).unlink()
    (folder / "otter.md").write_text("# Otters\n\nThe oldest otter of the house is nineteen and likes ice cubes.")
    os.utime(folder / "feed.py")
    again = called(platform, "ingest", folder, "--project", "zoo")
    assert again.returncode == 0, again.stderr
    assert "1 searchable, 4 unchanged" in again.stdout
    best = ask(platform, "zoo", "How old is the oldest otter?")[0]
    assert (best["file_name"], best["version"]) == ("zoo/otter.md", 2)
    assert not any("hold hands" in passage["content"] for passage in ask(platform, "zoo", "Do otters hold hands?"))


def test_a_dry_run_sends_nothing(platform: Platform, tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("words")
    done = called(platform, "ingest", tmp_path, "--project", "dry", "--dry-run")
    assert done.returncode == 0, done.stderr
    assert f"would store {tmp_path.name}/a.md" in done.stdout
    assert ask(platform, "dry", "words") == []


def test_skipped_files_of_one_reason_are_one_line_and_no_name_steers_the_terminal(
    platform: Platform, tmp_path: Path
) -> None:
    for number in range(5):
        (tmp_path / f"{number}.bin").write_bytes(b"\x00\x01")
    (tmp_path / "letter.docx").write_bytes(bytes(range(256)))
    (tmp_path / "letter.txt").write_bytes(bytes(range(1, 256)))
    (tmp_path / "\x1b[31m\nred.md").touch()
    done = called(platform, "ingest", tmp_path, "--project", "mess")
    name = tmp_path.name
    assert f"skipped 6 files (such as {name}/0.bin; --verbose names all): a binary file" in done.stderr
    assert f"broken {name}/letter.txt: its name promises text" in done.stderr
    assert "\x1b" not in done.stderr + done.stdout
    assert len(done.stderr.splitlines()) == 3
    named = called(platform, "ingest", tmp_path, "--project", "mess", "--verbose")
    assert f"skipped {name}/4.bin: a binary file" in named.stderr


def test_a_run_with_nothing_new_says_so(platform: Platform, tmp_path: Path) -> None:
    (tmp_path / "a.md").write_text("words")
    arguments = ("ingest", tmp_path / "a.md", "--project", "idle")
    assert "1 searchable" in on_terminal(platform, *arguments)
    again = on_terminal(platform, *arguments)
    assert "nothing new" in again
    assert "1/1" not in again


def test_a_text_too_long_for_one_job_is_stored_in_parts(platform: Platform, tmp_path: Path) -> None:
    filler = "\n".join("=" * 80 for _ in range(25_000))  # 2 MB of little meaning
    (tmp_path / "long.txt").write_text(f"{filler}\n\nThe lighthouse keeper of Amrum collects umbrellas.\n")
    done = called(platform, "ingest", tmp_path / "long.txt", "--project", "long", "--concurrency", 2)
    assert done.returncode == 0, done.stderr
    assert ask(platform, "long", "What does the lighthouse keeper collect?")[0]["file_name"].startswith(
        "long.txt#part-"
    )


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGINT])
def test_an_interrupted_run_goes_on(platform: Platform, tmp_path: Path, how: signal.Signals) -> None:
    """Killed in the middle and started again, every file is stored exactly once."""
    project, count = f"killed-{how.name.lower()}", 120
    folder = tmp_path / "papers"
    folder.mkdir()
    for number in range(count):
        (folder / f"{number:03}.md").write_text(f"# Paper {number}\n\nIt was written by author number {number}.")
    manifest = platform.home / "ingest" / f"{project}.sqlite"
    command = ltmc_command(["ingest", folder, "--project", project, "--concurrency", 1])
    process = subprocess.Popen(
        command,
        env=platform.env,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        # A suite that runs in the background has this signal ignored, and its children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    deadline = time.monotonic() + 60
    while states(manifest)["searchable"] < 10:
        assert process.poll() is None, process.stdout and process.stdout.read()
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.send_signal(how)
    said, _ = process.communicate(timeout=30)
    assert process.returncode == (130 if how == signal.SIGINT else -signal.SIGKILL), said
    before = states(manifest)
    assert before.total() < count, "it was killed in the middle"
    if how == signal.SIGINT:
        assert "goes on from here" in said

    again = called(platform, "ingest", folder, "--project", project)
    assert again.returncode == 0, again.stderr
    assert f"{count - before['searchable']} searchable, {before['searchable']} unchanged" in again.stdout
    assert states(manifest) == {"searchable": count}
    assert versions(platform, project) == {1: count}


def states(manifest: Path) -> Counter[str]:
    """How many documents are in which state."""
    if not manifest.exists():
        return Counter()
    connection = sqlite3.connect(manifest)
    try:
        return Counter(dict(connection.execute("SELECT state, count(*) FROM documents GROUP BY state")))
    except sqlite3.OperationalError:  # it is being made
        return Counter()
    finally:
        connection.close()


def versions(platform: Platform, project: str) -> Counter[int]:
    """How many documents of a project have which number of versions, as the records say."""
    statement = """
        SELECT count(*) FROM resources JOIN resource_versions ON resource_versions.resource_id = resources.id
        WHERE resources.project = ? GROUP BY resources.id
    """
    with closing(sqlite3.connect(platform.home / "ltmc.db")) as database:
        return Counter(count for (count,) in database.execute(statement, (project,)))


def test_real_documents_answer_real_questions(platform: Platform, data_folder: Path) -> None:
    """A02: three long documents and this repository's docs; in the first five passages stands the gold span of most."""
    done = called(platform, "ingest", data_folder / "chunking", ROOT / "docs", "--project", "real", "--include", "*.md")
    assert done.returncode == 0, done.stderr
    lines = (data_folder / "chunking" / "questions.jsonl").read_text().splitlines()
    asked = [json.loads(line) for line in lines[:: len(lines) // QUESTIONS]][:QUESTIONS]
    right = [question for question in asked if overlaps(question, ask(platform, "real", question["question"]))]
    assert len(right) >= 0.8 * len(asked), f"{len(right)} of {len(asked)}"
    own = ask(platform, "real", "Which variable sets the port of the API?", top_k=10)
    assert any(passage["file_name"].startswith("docs/") for passage in own)


def overlaps(question: dict[str, Any], passages: list[dict[str, Any]]) -> bool:
    """Whether a passage holds some of the words that answer a question."""
    of_document = [p for p in passages if p["file_name"] == f"chunking/{question['corpus']}.md"]
    return any(p["start"] < end and start < p["end"] for p in of_document for start, end in question["spans"])
