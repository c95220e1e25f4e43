"""What a call that breaks its schema is told: the field that is wrong, wherever it stands."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
from pydantic import BaseModel, ConfigDict, Field

from ltmc_jobs.errors import InvalidArguments
from ltmc_jobs.form import form_of


class Leaf(BaseModel):
    """One of many."""

    model_config = ConfigDict(extra="forbid")
    title: Annotated[str, Field(min_length=1)]


def file(leaves: list[Leaf], shelf: str = "") -> str:
    """File leaves."""
    return f"{len(leaves)} on {shelf}"


@pytest.mark.parametrize(
    ("arguments", "field", "words"),
    [
        ({"leaves": [], "spine": 1}, "spine", "file has no argument 'spine'; it has leaves, shelf"),
        ({}, "leaves", "file: leaves is required"),
        ({"leaves": [{"title": "a"}, {"title": "b", "spine": 1}]}, "leaves.1.spine", "leaves.1 has no 'spine'"),
        # the name is one of the call's own arguments, and wrong in there all the same
        ({"leaves": [{"title": "a", "shelf": "b"}]}, "leaves.0.shelf", "leaves.0 has no 'shelf'; it has title"),
        ({"leaves": [{}]}, "leaves.0.title", "leaves.0.title is required"),
        ({"leaves": [{"title": 5}]}, "leaves.0.title", "is not of type 'string'"),
    ],
)
def test_x07_what_breaks_the_schema_is_named_where_it_stands(arguments: dict[str, Any], field: str, words: str) -> None:
    """X07: no argument makes anything but a refusal."""
    form = form_of(file, skip=0, reads_only=True)
    with pytest.raises(InvalidArguments) as refused:
        form.accept(arguments)
    assert refused.value.details["field"] == field
    assert words in str(refused.value)
