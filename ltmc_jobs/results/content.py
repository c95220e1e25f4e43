"""Content: what a tool, a resource or a prompt gives when a text is not enough, in MCP's own words."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

Block = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Content:
    """Blocks for the model to see, in their order: made by `text`, `image`, `audio`, `embedded` and `link`."""

    blocks: list[Block]


@dataclass(frozen=True, slots=True)
class ResourceContents:
    """What stands at a URI: a text, or bytes in base64; without a type of its own, the resource's is meant."""

    text: str | None = None
    blob: str | None = None
    mime_type: str | None = None

    @classmethod
    def of_bytes(cls, data: bytes, mime_type: str | None = None) -> ResourceContents:
        return cls(blob=_encoded(data), mime_type=mime_type)


@dataclass(frozen=True, slots=True)
class PromptMessage:
    """One message of a prompt."""

    content: Block
    role: Literal["user", "assistant"] = "user"


@dataclass(frozen=True, slots=True)
class PromptMessages:
    """What a prompt puts into a conversation."""

    messages: list[PromptMessage]


def text(words: str) -> Block:
    """A block of text."""
    return {"type": "text", "text": words}


def image(data: bytes, mime_type: str = "image/png") -> Block:
    """A picture."""
    return {"type": "image", "data": _encoded(data), "mimeType": mime_type}


def audio(data: bytes, mime_type: str = "audio/wav") -> Block:
    """Something to hear."""
    return {"type": "audio", "data": _encoded(data), "mimeType": mime_type}


def embedded(uri: str, content: str | bytes, mime_type: str = "text/plain") -> Block:
    """A resource with what stands in it."""
    body = {"text": content} if isinstance(content, str) else {"blob": _encoded(content)}
    return {"type": "resource", "resource": {"uri": uri, "mimeType": mime_type, **body}}


def link(uri: str, name: str, *, mime_type: str | None = None, description: str | None = None) -> Block:
    """A resource that may be read, without what stands in it."""
    said = {"mimeType": mime_type, "description": description}
    return {"type": "resource_link", "uri": uri, "name": name} | {key: value for key, value in said.items() if value}


def is_content(result: Any) -> bool:
    """Whether a job's result, which is plain JSON by then, was a Content."""
    blocks = result.get("blocks") if isinstance(result, dict) and len(result) == 1 else None
    return isinstance(blocks, Sequence) and all(isinstance(block, dict) and "type" in block for block in blocks)


def _encoded(data: bytes) -> str:
    return base64.b64encode(data).decode()
