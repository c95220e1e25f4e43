"""docs/api.md is the reference made from the registry, and no document counts the tools otherwise."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from api import reference, tool_groups
from ltmc_jobs import registry

ROOT = Path(__file__).parents[2]
DOCUMENTS = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
COUNT = re.compile(r"(?<![\w.,-])(\d+) (?:MCP )?(core |cache |extra )?tools\b")


def test_q08_the_reference_is_made_from_the_registry() -> None:
    """Q08, A30: after a change of a tool, `ltmc reference --markdown > docs/api.md`."""
    assert (ROOT / "docs" / "api.md").read_text() == reference.page()


def test_q08_every_tool_has_its_arguments_and_its_answer_there() -> None:
    """Q08: by name, with each argument of its schema."""
    page = reference.page()
    for form in registry.forms():
        section = page.split(f"### {form.name}\n")[1].split("\n### ")[0]
        for argument in form.input_schema.get("properties", {}):
            assert f"| `{argument}` |" in section, (form.name, argument)


def test_a30_there_are_25_core_tools_three_of_the_cache_and_named_extras() -> None:
    """A30: none of them is missing, and every extra is named in the reference."""
    names = {form.name for form in registry.forms()}
    assert set(tool_groups.CORE) - names == set()
    counts = tool_groups.counted()
    assert (counts["core"], counts["cache"], sum(counts.values())) == (25, 3, len(names))
    assert {name for name in names if tool_groups.group_of(name) == "extra"} == names - {
        *tool_groups.CORE,
        *tool_groups.CACHE,
    }


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_a30_documents_count_the_tools_as_the_registry_does(document: Path) -> None:
    """A30: wherever a number of tools is written, it is one that the registry gives."""
    counts = tool_groups.counted()
    right = {
        "": {sum(counts.values())},
        "core ": {counts["core"]},
        "cache ": {counts["cache"]},
        "extra ": {counts["extra"]},
    }
    for number, kind in COUNT.findall(document.read_text()):
        assert int(number) in right[kind], f"{document.name}: {number} {kind}tools"
