"""Answers and errors as MCP's results: structured, and as text for the model."""

from __future__ import annotations

import json
from typing import Any

import mcp_types as types

from api.mcp.blocks import blocks_of
from ltmc_jobs.answer import Answer

JOB_URI = "ltmc://job/"
TEXT_LIMIT = 100_000  # bytes of text, about 25,000 tokens: hosts cut or refuse what is longer


def answered(answer: Answer) -> types.CallToolResult:
    """An answer in MCP's form: structured, and as text for the model."""
    shown = answer.as_dict()
    blocks = blocks_of(answer.result)
    job = {"job_id": answer.job_id, "status": answer.status, "tool": answer.tool, "cached": answer.cached}
    return types.CallToolResult(
        content=texts(_written(shown), answer.job_id) if blocks is None else blocks,
        structured_content=shown if blocks is None else None,
        _meta={"ltmc/job": job} if answer.job_id else None,
    )


def failed(error: dict[str, Any]) -> types.CallToolResult:
    """A tool's error, which the model may read and act on."""
    advice = " It may work if tried again." if error["retry"] else ""
    text = f"{error['code']}: {error['message']}{advice} (error id {error['id']})"
    return types.CallToolResult(content=texts(text), structured_content={"error": error}, is_error=True)


def texts(text: str, job_id: str | None = None) -> list[types.ContentBlock]:
    """The text, cut where hosts would; a note of its own says so, and a link where the whole is."""
    encoded = text.encode(errors="replace")
    if len(encoded) <= TEXT_LIMIT:
        return [types.TextContent(text=text)]
    kept = encoded[:TEXT_LIMIT].decode(errors="ignore")
    note = f"[cut after {len(kept):,} of {len(text):,} characters; structuredContent has all of it, or ask for less]"
    blocks: list[types.ContentBlock] = [types.TextContent(text=kept), types.TextContent(text=note)]
    if job_id:
        link = f"{JOB_URI}{job_id}"
        blocks.append(types.ResourceLink(uri=link, name=f"job {job_id}", mime_type="application/json"))
    return blocks


def _written(shown: dict[str, Any]) -> str:
    return json.dumps(shown, ensure_ascii=False, separators=(",", ":"))
