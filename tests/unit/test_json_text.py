"""Edits of JSON as text: the layout goes on as it is, an undone edit leaves the bytes of before, no byte else moves."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from api.connect.json_text import appended, parse, value_at, with_value, without
from ltmc_jobs.errors import Misconfigured

LENIENT = {"with_comments": True}


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("{}", '{\n  "new": 1\n}'),
        ('{"a": 1}', '{"a": 1, "new": 1}'),
        ('{\n    "a": 1\n}\n', '{\n    "a": 1,\n    "new": 1\n}\n'),
        ('{\n\t"a": 1 // why\n}', '{\n\t"a": 1, // why\n\t"new": 1\n}'),
        ('{\r\n  "a": [1], // why\r\n}', '{\r\n  "a": [1], // why\r\n  "new": 1,\r\n}'),
        ('\ufeff{ "a": {} /* b */ }', '\ufeff{ "a": {}, "new": 1 /* b */ }'),
        ("{ // nothing yet\n}", '{\n  "new": 1 // nothing yet\n}'),
    ],
)
def test_a_member_is_added_as_the_others_are(before: str, after: str) -> None:
    """And taken out again; an empty object that held nothing but spaces is closed up."""
    assert with_value(before, ["new"], 1, **LENIENT) == after
    assert without(after, ["new"], **LENIENT).replace(" ", "") == before.replace(" ", "")
    assert with_value(after, ["new"], 2, **LENIENT) == after.replace(": 1\n}", ": 2\n}").replace('"new": 1', '"new": 2')


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
OBJECTS = st.dictionaries(st.text(max_size=4), JSON, max_size=4)


@given(OBJECTS, JSON, st.sampled_from([None, 1, 4, "\t"]))
def test_any_object_takes_any_value_and_gives_it_back(
    whole: dict[str, object], value: object, indent: int | str
) -> None:
    """What Python reads is what was meant; where there were members before, the very text comes back."""
    text = json.dumps(whole, indent=indent)
    assert parse(text, with_comments=False).plain() == whole
    added = with_value(text, ["servers", "our own"], value, with_comments=False) if "servers" not in whole else text
    if added != text:
        assert json.loads(added) == whole | {"servers": {"our own": value}}
        assert value_at(added, ["servers", "our own"], with_comments=False) == value
        assert without(added, ["servers"], with_comments=False) == text
    listed = appended(text, ["hooks are", "here"], value, with_comments=False)
    twice = appended(listed, ["hooks are", "here"], [value], with_comments=False)
    assert json.loads(twice)["hooks are"]["here"] == [value, [value]]
    assert without(twice, ["hooks are", "here", 1], with_comments=False) == listed
    assert json.loads(without(twice, ["hooks are", "here", 0], with_comments=False))["hooks are"]["here"] == [[value]]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{", "line 1: } is missing"),
        ('{\n"a" 1}', "line 2: : is missing"),
        ("{a: 1}", "line 1: a name in quotes is missing"),
        ('{"a": 1,}', "line 1: a name in quotes is missing"),
        ("[1,]", "line 1: ] is out of place"),
        ("{} {}", "line 1: more follows after the end"),
        ("{\n\n  // a comment\n}", "line 3: // is no JSON"),
        ('{"a": nil}', "line 1: nil is no JSON"),
        ("", "it is empty"),
    ],
)
def test_what_is_no_json_is_refused_with_its_line(text: str, told: str) -> None:
    with pytest.raises(Misconfigured, match="^" + told.replace("}", r"\}").replace("]", r"\]")):
        parse(text, with_comments=False)
