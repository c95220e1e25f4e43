"""The user's own tools as files: what they may be, how each mistake is told, and what one costs the others."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from ltmc_jobs import reading, registry, user_tools
from ltmc_jobs.errors import InvalidArguments
from ltmc_jobs.tool_trial import attempt
from tests.conftest import build_settings, clean_environment

ROOT = Path(__file__).parents[2]

SHARED = '''
from ltmc_jobs import tool

@tool
def share() -> str:
    """Be declared by who imports this first."""
    return ""
'''
GOOD = '''
from __future__ import annotations
from enum import Enum
from pathlib import Path
from pydantic import BaseModel
from ltmc_jobs import Cache, Queue, tool
from beside import SUFFIX

class Colour(Enum):
    RED = "red"

class Box(BaseModel):
    colour: Colour
    size: int = 1

@tool(queue=Queue.LOW, cache=Cache(topics=("boxes",)))
def pack_box(box: Box, place: Path, copy: bool = False) -> list[Box]:
    """Pack a box."""
    assert isinstance(box, Box) and isinstance(place, Path)
    return [box, box]

@tool
def find_nothing() -> None:
    """Find nothing."""

@tool
async def say_later(words: dict[str, int]) -> dict[str, int]:
    """Say it later."""
    return words
'''
WRONG = '''
from typing import TYPE_CHECKING
from ltmc_jobs import Cache, tool
if TYPE_CHECKING:
    from decimal import Decimal

@tool
def bare(x, y: int):
    return x

@tool
def many(*words: str) -> str:
    """Take many."""
    return ""

@tool
def unknown(x: "Decimal") -> str:
    """Know a type only while it is checked."""
    return ""

@tool(executor="asyncio")
def not_async() -> str:
    """Be no coroutine."""
    return ""

@tool(cache=Cache(("a",)), changes=("a",))
def both() -> str:
    """Change and be cached."""
    return ""

@tool
def twice() -> str:
    """Be there."""
    return ""

@tool
def twice() -> str:
    """Be there again."""
    return ""

@tool
def embed_texts() -> str:
    """Take a job's name."""
    return ""

@tool
def größe() -> str:
    """Have a name that clients refuse."""
    return ""

def outer():
    @tool
    def inner() -> str:
        """Stand inside."""
        return ""
outer()

@tool
class Thing:
    """Be no function."""

@tool(also_named=("store_memory",))
def half() -> str:
    """Take another's name beside its own."""
    return ""

@tool
def fine() -> str:
    """Be right beside all this."""
    return ""
'''
TOLD = {
    8: "wrong.bare needs a type for x, a return type, a docstring",
    12: "many: *words: str cannot be given by name",
    17: "unknown: a type cannot be read at run time: name 'Decimal' is not defined",
    22: 'not_async: executor="asyncio" is for an async function',
    27: "both: a tool that changes something cannot be cached",
    37: "twice is declared twice in this file; the first one counts",
    42: "embed_texts is declared twice: as workers.jobs.embedding.embed_texts and as wrong.embed_texts",
    47: "größe: a tool's name is",
    53: "inner stands inside of outer.<locals>",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "good.py").write_text(GOOD.lstrip())
    (tmp_path / "beside.py").write_text("SUFFIX = 1\n")
    (tmp_path / "wrong.py").write_text(WRONG)
    (tmp_path / "good_too.py").write_text(GOOD.replace("pack_box", "wrap_box").replace("find_n", "seek_n"))
    (tmp_path / "json.py").write_text("")
    (tmp_path / "noisy.py").write_text("print('{}')\nraise SystemExit(3)\n")
    (tmp_path / "a-b.py").write_text("")
    (tmp_path / "empty.py").write_text("x = 1\n")
    (tmp_path / "failing.py").write_text("import shared_tools\n1 / 0\n")
    (tmp_path / "shared_tools.py").write_text(SHARED)
    return tmp_path


def test_every_mistake_is_told_with_its_line_and_costs_itself(folder: Path) -> None:
    """One trial of all the files; the order is that of LTMC_TOOLS."""
    names = ["good.py", "wrong.py", "failing.py", "shared_tools.py", "good_too.py", "json.py", "noisy.py", "a-b.py"]
    names += ["empty.py", "absent.py"]
    trial = attempt([*(str(folder / name) for name in names), "no_such.module"])
    assert {*trial.tools} == {
        "pack_box",
        "find_nothing",
        "say_later",
        "twice",
        "fine",
        "wrap_box",
        "seek_nothing",
        "share",
    }
    wrong = {one.line: one.message for one in trial.mistakes if one.file.endswith("wrong.py")}
    assert {line: wrong[line][: len(words)] for line, words in TOLD.items()} == TOLD
    assert len(wrong) == len(TOLD) + 2  # and the class, and the one that is half taken
    told = "\n".join(trial.words)
    for words in (
        "good_too.py:27: say_later is declared twice: as good.say_later and as good_too.say_later",
        "failing.py:2: ZeroDivisionError: division by zero",
        "json.py: there is a module called json already",
        "noisy.py:2: it ends the process",
        "a-b.py: a file of tools is called NAME.py",
        "empty.py: no function in it is under @tool",
        "absent.py: there is no such file",
        "no_such.module: there is no module of this name",
    ):
        assert words in told


def test_types_are_read_and_shown_as_the_function_names_them(folder: Path) -> None:
    """In this process, which forgets them again."""
    before = reading.kept()
    try:
        loaded = user_tools.load_entry(str(folder / "good.py"))
        assert loaded.mistakes == []
        pack = registry.find("pack_box")
        assert isinstance(pack, registry.Tool)
        assert (pack.kind.path, pack.kind.queue, pack.takes_services) == ("good.pack_box", "low", False)
        given = pack.form.accept({"box": {"colour": "red"}, "place": "/tmp/x", "copy": True})
        read = pack.form.read(given)
        assert (read["place"], read["box"].size) == (Path("/tmp/x"), 1)
        assert pack.form.show([read["box"]]) == {"result": [{"colour": "red", "size": 1}]}
        assert pack.form.output_schema["required"] == ["result"]
        with pytest.raises(Exception, match="Expected"):
            pack.form.show(["no box"])
        with pytest.raises(InvalidArguments, match="box"):
            pack.form.accept({"box": {"colour": "blue"}, "place": "/tmp/x"})
        later = registry.find("say_later")
        assert isinstance(later, registry.Tool)
        assert (later.kind.executor, later.form.is_wrapped, later.form.is_plain) == ("asyncio", False, True)
        assert registry.find("find_nothing").form.show(None) == {"result": None}
    finally:
        reading.restore(before)
        user_tools.loaded().__init__()  # type: ignore[misc]


IMPATIENT = """
import sys
from ltmc_jobs import user_tools

user_tools.IMPORT_SECONDS = 0.1
for entry in sys.argv[1:]:
    user_tools.load_entry(entry)
print(*user_tools.loaded().mistakes, sep="; ")
print(*user_tools.loaded().files, "hanging" in sys.modules)
"""


def test_an_import_that_does_not_end_is_interrupted(tmp_path: Path) -> None:
    """Whatever the file itself catches; and the next one is read as if nothing had been. In a process of its own."""
    hanging, good = tmp_path / "hanging.py", tmp_path / "good.py"
    hanging.write_text(
        "import time\nwhile True:\n    try:\n        time.sleep(60)\n    except Exception:\n        pass\n"
    )
    good.write_text(SHARED)
    command = [sys.executable, "-c", IMPATIENT, str(hanging), str(good)]
    said = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    mistake, rest = said.stdout.splitlines()
    assert mistake.startswith("hanging.py: its import takes longer than")
    assert ";" not in mistake.removesuffix(user_tools.TOO_SLOW)
    assert rest == "share False"


def test_entries_are_the_callers_files_and_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files by whole paths, so that all processes mean the same; modules as they are; each once."""
    monkeypatch.chdir(tmp_path)
    settings = build_settings(tmp_path, LTMC_TOOLS=" mine.py, sub/../mine.py ,pack.age,~/x.py,, ")
    assert settings.tools == (str(tmp_path / "mine.py"), "pack.age", str(Path.home() / "x.py"))
    assert build_settings(tmp_path).tools == ()


def test_the_script_takes_files_from_where_it_is_called(tmp_path: Path) -> None:
    """It goes to its checkout before anything reads the variable."""
    traced = subprocess.run(
        ["bash", "-x", ROOT / "start_workers.sh", "status"],
        cwd=tmp_path,
        env=clean_environment(tmp_path / "home", LTMC_TOOLS="mine.py, sub/other.py ,pack.age,/whole/x.py"),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert f"LTMC_TOOLS='{tmp_path}/mine.py,{tmp_path}/sub/other.py ,pack.age,/whole/x.py'" in traced.stderr


def test_a_tool_may_also_be_declared_as_ours_are() -> None:
    """Outside of a file of the user's a mistake ends the import, as it always did."""
    with pytest.raises(ValueError, match="needs a docstring"):

        @registry.tool
        def silent() -> str:
            return ""
