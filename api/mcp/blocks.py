"""Blocks: the results that are content for the model to see, and no object for a program."""

from __future__ import annotations

from typing import Any

import mcp_types as types
from pydantic import TypeAdapter

from ltmc_jobs.form import Form
from ltmc_jobs.results.content import Content, is_content

BLOCK: TypeAdapter[types.ContentBlock] = TypeAdapter(types.ContentBlock)
CONTENT_SCHEMA = TypeAdapter(Content).json_schema(mode="serialization")


def gives_blocks(form: Form) -> bool:
    """Whether a tool's results are Contents."""
    return form.output_schema == CONTENT_SCHEMA


def blocks_of(result: Any) -> list[types.ContentBlock] | None:
    """The blocks of a Content, as it came from a job; None for any other result."""
    return [block_of(block) for block in result["blocks"]] if is_content(result) else None


def block_of(block: dict[str, Any]) -> types.ContentBlock:
    """One block, checked."""
    return BLOCK.validate_python(block)
