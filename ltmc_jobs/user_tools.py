"""The user's own tools: the files and modules of LTMC_TOOLS, read into the registry, each mistake kept by name.

A wrong function costs itself, a file that cannot be imported costs its own tools, and nothing else suffers.
"""

from __future__ import annotations

import importlib
import json
import linecache
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import CodeType, FrameType, ModuleType
from typing import Any

from ltmc_jobs import jobs, registry, tools
from ltmc_jobs.private_files import write_private
from ltmc_jobs.reading import reading
from ltmc_jobs.settings import Settings
from ltmc_jobs.settings.tools import CHOSEN, is_file

DECLARED = (jobs, tools)  # first: a name that is taken is the user's mistake, not ours

IMPORT_SECONDS = 30.0
TOO_SLOW = f"its import takes longer than {IMPORT_SECONDS:g} seconds; do such work in the tools"


@dataclass(frozen=True, slots=True)
class Mistake:
    """Why something of the user's is not there: where it stands, the function's name if it is one's, what is wrong."""

    file: str
    line: int | None
    tool: str
    message: str

    def __str__(self) -> str:
        where = Path(self.file).name if is_file(self.file) else self.file
        return f"{where}{f':{self.line}' if self.line else ''}: {self.message}"


@dataclass(slots=True)
class Loaded:
    """What this process has read: its entries, its tools by name with their files, and the mistakes."""

    entries: list[str] = field(default_factory=list)
    files: dict[str, str] = field(default_factory=dict)
    mistakes: list[Mistake] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Chosen:
    """What a running platform has: the entries, and those left out because they broke the process that tried them."""

    entries: tuple[str, ...] = ()
    left_out: dict[str, str] = field(default_factory=dict)

    @classmethod
    def load(cls, settings: Settings) -> Chosen:
        """As the platform of this home wrote it down when it started."""
        with suppress(OSError, ValueError, TypeError, KeyError):
            told = json.loads((settings.run_directory / CHOSEN).read_text())
            return cls(tuple(map(str, told["entries"])), dict(told["left_out"]))
        return cls()

    def save(self, settings: Settings) -> None:
        """For whoever calls without the setting, as a host that an editor starts."""
        write_private(settings.run_directory / CHOSEN, json.dumps(asdict(self), indent=1))


class _TooSlow(BaseException):
    """The import's time is over; no `except Exception` of the file's own may catch it."""


_loaded = Loaded()


def load(settings: Settings) -> Loaded:
    """Declare the tools of LTMC_TOOLS, or else those of the platform that runs here; once per process and entry."""
    chosen = Chosen.load(settings)
    for entry in settings.tools or chosen.entries:
        if entry in _loaded.entries:
            continue
        reason = chosen.left_out.get(entry)
        if reason is None:
            load_entry(entry)
        else:
            _loaded.entries.append(entry)
            _loaded.mistakes.append(Mistake(entry, None, "", reason))
    return _loaded


def loaded() -> Loaded:
    """What this process has read so far."""
    return _loaded


def load_entry(entry: str) -> Loaded:
    """Declare the tools of one file or module; what is wrong is among the mistakes."""
    _loaded.entries.append(entry)
    before, modules = {tool.form.name for tool in registry.tools()}, set(sys.modules)
    faults: list[Mistake] = []

    def refuse(function: Callable[..., Any], error: Exception) -> None:
        code = getattr(function, "__code__", None)
        file, line = (code.co_filename, _line_of(code)) if code else (entry, None)
        name, words = getattr(function, "__name__", ""), _words(error)
        faults.append(Mistake(file, line, name, words if name in words else f"{name}: {words}"))

    try:
        # What a file prints must not get into a command's JSON, or into the protocol of a host.
        with redirect_stdout(sys.stderr), _limited(IMPORT_SECONDS), reading(refuse):
            module = _imported(entry)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # SystemExit too: whatever it is, it is the file's
        _forget_beside(entry, modules)
        _loaded.mistakes += [*faults, _mistake(entry, error)]
        return _loaded
    for tool in registry.tools():
        if tool.form.name not in before:
            _loaded.files[tool.form.name] = str(getattr(sys.modules.get(_module_of(tool)), "__file__", entry))
    if not faults and not any(f"{_module_of(tool)}.".startswith(f"{module}.") for tool in registry.tools()):
        faults.append(Mistake(entry, None, "", "no function in it is under @tool"))
    _loaded.mistakes += faults
    return _loaded


def _forget_beside(entry: str, known: set[str]) -> None:
    """What a failed file imported from beside it is imported anew by the next: what it declared is forgotten."""
    folder = str(Path(entry).parent) if is_file(entry) else ""
    for name in set(sys.modules) - known:
        if folder and str(Path(getattr(sys.modules[name], "__file__", None) or "/").parent) == folder:
            del sys.modules[name]


def _module_of(tool: registry.Tool) -> str:
    return tool.kind.path.rpartition(".")[0]


def _imported(entry: str) -> str:
    """Import an entry; its module's name."""
    if not is_file(entry):
        importlib.import_module(entry)
        return entry
    path = Path(entry)
    name = path.stem
    if not path.is_file():
        raise FileNotFoundError("there is no such file" if not path.exists() else "it is no file")
    if path.suffix != ".py" or not name.isidentifier():
        raise ImportError("a file of tools is called NAME.py, of letters, digits and underscores: jobs name its module")
    if not _is_loaded(name, path):
        if str(path.parent) not in sys.path:
            sys.path.append(str(path.parent))  # last, so that what stands beside it hides nothing of anybody's
        _execute(name, path)
    return name


def _is_loaded(name: str, path: Path) -> bool:
    """Whether a file of tools is this module already; ImportError where its name is another's."""
    known: ModuleType | None = sys.modules.get(name)
    spec = find_spec(name) if known is None else None
    origin = getattr(known, "__file__", None) if known else spec.origin if spec else None
    if known is None and spec is None:
        return False
    if origin is not None and Path(origin).exists() and path.samefile(origin):
        return known is not None
    raise ImportError(f"there is a module called {name} already ({origin or 'built in'}); give the file another name")


def _execute(name: str, path: Path) -> None:
    spec = spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        sys.modules.pop(name, None)
        raise


@contextmanager
def _limited(seconds: float) -> Iterator[None]:
    """Within, _TooSlow when the time is over; only the main thread can be interrupted."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise _TooSlow

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def _mistake(entry: str, error: BaseException) -> Mistake:
    """Where an import failed: the line of the entry's own file, as far as it is known."""
    if isinstance(error, _TooSlow):
        return Mistake(entry, None, "", TOO_SLOW)
    if isinstance(error, SyntaxError) and error.filename:
        return Mistake(error.filename, error.lineno, "", f"SyntaxError: {error.msg}")
    if isinstance(error, FileNotFoundError | ImportError) and error.__traceback__ is not None:
        inner = traceback.extract_tb(error.__traceback__)[-1].filename
        if inner == __file__ or (isinstance(error, ModuleNotFoundError) and f"{entry}.".startswith(f"{error.name}.")):
            return Mistake(entry, None, "", _absence(entry, error))
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_own(frame.filename, entry)]
    at = own[-1] if own else None
    told = "it ends the process" if isinstance(error, SystemExit) else _words(error)
    kind = "" if isinstance(error, SystemExit) else f"{type(error).__name__}: "
    return Mistake(at.filename if at else entry, at.lineno if at else None, "", f"{kind}{told}")


def _line_of(code: CodeType) -> int:
    """Where a function's `def` stands; its code begins with its decorators."""
    for number, text in enumerate(linecache.getlines(code.co_filename)[code.co_firstlineno - 1 :]):
        if text.lstrip().startswith(("def ", "async def ")):
            return code.co_firstlineno + number
    return code.co_firstlineno


def _absence(entry: str, error: BaseException) -> str:
    if is_file(entry):
        return str(error)
    here = Path(f"{entry}.py")
    hint = (
        f"there is a file {here} here: write LTMC_TOOLS={here}"
        if here.is_file()
        else ("install it where the platform is, put its folder on PYTHONPATH, or name a file (NAME.py)")
    )
    return f"there is no module of this name; {hint}"


def _is_own(file: str, entry: str) -> bool:
    """Whether a file is the entry itself."""
    path = entry if is_file(entry) else entry.replace(".", os.sep)
    return file == path or file.endswith((f"{os.sep}{path}.py", f"{os.sep}{path}{os.sep}__init__.py"))


def _words(error: BaseException) -> str:
    """An error's first line: what follows is for a library's own people."""
    return next(iter(str(error).strip().splitlines()), "") or type(error).__name__
