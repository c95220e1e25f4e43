"""The shape of the house, held by tests: sizes, one definition per thing, what a process loads."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from ltmc_jobs import keys, registry, tools
from ltmc_jobs.errors import LtmcError, error_classes
from ltmc_jobs.registry import Cache, Queue, tool

ROOT = Path(__file__).parents[2]
PACKAGES = ("ltmc_jobs", "workers", "api")
LINES_MAX = 300
ADJECTIVES = (
    "enhanced",
    "unified",
    "universal",
    "optimized",
    "real",
    "intelligent",
    "advanced",
    "simple",
    "new",
    "base",
)
VAGUE = ("manager", "handler", "helper", "helpers", "utils", "util", "core", "common", "misc")


def sources() -> Iterator[Path]:
    for package in PACKAGES:
        yield from sorted((ROOT / package).rglob("*.py"))


def test_files_hold_one_concept_and_are_short() -> None:
    """Q01: at most 300 lines."""
    long = {
        str(path.relative_to(ROOT)): lines
        for path in [*sources(), *sorted((ROOT / "benchmarks").glob("*.py"))]
        if (lines := len(path.read_text().splitlines())) > LINES_MAX
    }
    assert long == {}


def test_a_file_is_a_noun() -> None:
    for path in sources():
        words = path.stem.split("_")
        assert not set(words) & {*ADJECTIVES, *VAGUE}, path


def test_every_module_says_what_it_is() -> None:
    for path in sources():
        first = ast.get_docstring(ast.parse(path.read_text()))
        assert first, f"{path} has no docstring"
        assert first.splitlines()[0].rstrip().endswith((".", ":", "?", "!")), f"{path}: {first.splitlines()[0]}"


def test_every_key_of_ours_is_built_in_one_place() -> None:
    """M03: no other module spells a key."""
    for path in sources():
        if path.name != "keys.py":
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Constant) and isinstance(node.value, str):
                    assert not node.value.startswith(("ltmc:1:", "ltmc:{")), f"{path}:{node.lineno}: {node.value}"


def test_keys_can_be_read_back_whatever_the_id() -> None:
    """M03: prefix, schema version, project, family, escaped ids."""
    for odd in ("a:b", "*", "line\nbreak", "ünï", "", "%3A"):
        name = keys.key("default", "cache", odd, "second")
        assert name.startswith("ltmc:1:default:cache:")
        assert keys.parse(name) == ("default", "cache", [odd, "second"])
    with pytest.raises(KeyError):
        keys.key("default", "undeclared")
    for family, (kind, life, bound) in keys.FAMILIES.items():
        assert all((kind, life, bound)), family


def test_tools_are_declared_once_in_the_module_of_their_group() -> None:
    """Q07, Q04: name, description and schemas come from one function; a second declaration is refused."""
    assert Counter(form.module for form in registry.forms()) == {
        "cache": 3,
        "code_patterns": 3,
        "chat": 4,
        "context": 8,
        "graph": 4,
        "todos": 4,
        "transfer": 3,
        "memory": 4,
        "jobs": 5,
    }
    for form in registry.forms():
        assert form.module in tools.__all__
        assert form.description.endswith(".")
        assert form.input_schema["additionalProperties"] is False

    def store_memory(services: object) -> dict[str, int]:
        """Take another's name."""
        return {}

    with pytest.raises(ValueError, match="declared twice"):
        tool(queue=Queue.DEFAULT, tiers=())(store_memory)


def test_a_wrong_declaration_fails_on_import() -> None:
    """Q07."""

    def silent(services: object) -> dict[str, int]:
        return {}

    def untyped(services: object, x) -> dict[str, int]:  # type: ignore[no-untyped-def]
        """Have an argument without a type."""
        return {}

    def unsettled(services: object) -> dict[str, int]:
        """Change something and be cached."""
        return {}

    with pytest.raises(ValueError, match="a docstring"):
        tool(queue=Queue.DEFAULT, tiers=())(silent)
    with pytest.raises(ValueError, match="a type for x"):
        tool(queue=Queue.DEFAULT, tiers=())(untyped)
    with pytest.raises(ValueError, match="cannot be cached"):
        tool(queue=Queue.DEFAULT, tiers=(), cache=Cache(("a",)), changes=("a",))(unsettled)
    with pytest.raises(ValueError, match="not a valid Queue"):
        tool(queue="somewhere", tiers=())(silent)  # type: ignore[arg-type]


def test_errors_say_how_they_travel() -> None:
    """Every class has a code of its own, stands in the drawing, and comes back from the wire as itself."""
    from ltmc_jobs import errors

    drawn = errors.__doc__ or ""
    for code, cls in error_classes().items():
        assert cls.__name__ in drawn or not cls.__module__.startswith("ltmc_jobs")
        assert 400 <= cls.status < 600
        if cls.__module__ == "ltmc_jobs.errors":
            back = errors.from_dict(cls("words", field="x").as_dict())
            assert (type(back), str(back), back.details, back.code) == (cls, "words", {"field": "x"}, code)
    assert isinstance(errors.from_dict({"code": "from the future", "message": "m"}), LtmcError)


@pytest.mark.parametrize("module", ["api.app", "api.cli", "api.dashboard", "workers.worker", "workers.supervisor"])
def test_no_process_loads_what_it_does_not_need(module: str) -> None:
    """The front end never loads torch, a runtime of models, FAISS or a store; workers do on first use."""
    heavy = ("torch", "openvino", "onnxruntime", "sentence_transformers", "transformers", "faiss", "neo4j")
    stores = ("ltmc_jobs.stores.records_sqlite", "ltmc_jobs.stores.vectors_faiss", "ltmc_jobs.stores.graph_neo4j")
    code = f"import sys, {module}; print([name for name in {heavy + stores!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_types_are_told() -> None:
    """Q03: the strict checker itself runs in run_tests.sh; here: no function is left without a return type."""
    for path in sources():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                assert node.returns is not None, f"{path}:{node.lineno} {node.name}"
