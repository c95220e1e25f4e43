"""What MCP's conformance suite expects of the server that it tests; loaded by LTMC_TOOLS in its tests alone.

Names, words and schemas are the suite's. Each of them is a job.
"""

from __future__ import annotations

import json
import struct
import time
import zlib
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import Field

from ltmc_jobs import prompt, resource, tool
from ltmc_jobs.errors import Conflict, JobLost
from ltmc_jobs.results.content import (
    Content,
    PromptMessage,
    PromptMessages,
    ResourceContents,
    audio,
    embedded,
    image,
    text,
)

if TYPE_CHECKING:
    from ltmc_jobs.services import Services

STEP_SECONDS = 0.05


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


RED_PIXEL = b"".join(
    [
        b"\x89PNG\r\n\x1a\n",
        _chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)),
        _chunk(b"IDAT", zlib.compress(b"\x00\xff\x00\x00")),
        _chunk(b"IEND", b""),
    ]
)
SILENCE = b"RIFF" + struct.pack("<I", 38) + b"WAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 16000, 2, 16)
SILENCE += b"data" + struct.pack("<Ih", 2, 0)


def said(*parts: object) -> Content:
    """A result of words alone."""
    return Content([text(" ".join(str(part) for part in parts))])


# ---------------------------------------------------------------- results


@tool
def test_simple_text() -> Content:
    """Give a text."""
    return said("This is a simple text response for testing.")


@tool
def test_image_content() -> Content:
    """Give a picture."""
    return Content([image(RED_PIXEL)])


@tool
def test_audio_content() -> Content:
    """Give a sound."""
    return Content([audio(SILENCE)])


@tool
def test_embedded_resource() -> Content:
    """Give a resource with what stands in it."""
    return Content([embedded("test://embedded-resource", "This is an embedded resource content.")])


@tool
def test_multiple_content_types() -> Content:
    """Give one of each."""
    data = json.dumps({"test": "data", "value": 123})
    mixed = embedded("test://mixed-content-resource", data, "application/json")
    return Content([text("Multiple content types test:"), image(RED_PIXEL), mixed])


@tool
def test_custom_header(region: Annotated[str, Field(json_schema_extra={"x-mcp-header": "Region"})]) -> Content:
    """Take an argument that a header repeats."""
    return said("In", region)


@tool
def test_error_handling() -> Content:
    """Fail."""
    raise Conflict("This tool intentionally returns an error for testing")


@tool
def test_tool_with_progress(services: Services) -> Content:
    """Tell how far it is, three times."""
    assert services.job is not None
    for done in (0, 50, 100):
        services.job.progress(done, 100, f"{done} of 100")
        time.sleep(STEP_SECONDS)
    return said("Done.")


@tool
def test_tool_with_logging(services: Services) -> Content:
    """Say what it does, three times."""
    assert services.job is not None
    for line in ("Tool execution started", "Tool processing data", "Tool execution completed"):
        services.job.log(line)
        time.sleep(STEP_SECONDS)
    return said("Done.")


@tool
def test_logging_tool(services: Services) -> Content:
    """Say something, which only those hear who asked for it."""
    assert services.job is not None
    services.job.log("a line for those who asked")
    return said("Done.")


# -------------------------------------------------------------------- tasks


@tool
def greet(name: str) -> Content:
    """Greet somebody."""
    return said(f"Hello, {name}!")


@tool(grace_seconds=0)
def slow_compute(services: Services, seconds: float = 1, label: str = "") -> Content:
    """Take some time."""
    time.sleep(seconds)
    return said("computed", label)


@tool(needs=("tasks",), grace_seconds=0)
def failing_job() -> Content:
    """Fail after a while."""
    time.sleep(1)
    raise Conflict("This job always fails")


@tool(grace_seconds=0, retries=0)
def protocol_error_job() -> Content:
    """End as a job does whose result is gone."""
    raise JobLost("its result is gone")


# ------------------------------------------------------- resources, prompts


@resource("test://static-text")
def static_text() -> str:
    """A text that is always there."""
    return "This is the content of the static text resource."


@resource("test://static-binary", mime_type="image/png")
def static_binary() -> ResourceContents:
    """A picture that is always there."""
    return ResourceContents.of_bytes(RED_PIXEL)


@resource("test://watched-resource")
def watched_resource() -> str:
    """A text that may be watched."""
    return "Watched."


@resource("test://template/{id}/data", mime_type="application/json")
def template_data(id: str) -> dict[str, Any]:
    """Data by id."""
    return {"id": id, "templateTest": True, "data": f"Data for ID: {id}"}


@prompt()
def test_simple_prompt() -> str:
    """Say something simple."""
    return "This is a simple prompt for testing."


@prompt()
def test_prompt_with_arguments(arg1: str, arg2: str) -> str:
    """Say what was given."""
    return f"Prompt with arguments: arg1='{arg1}', arg2='{arg2}'"


@prompt()
def test_prompt_with_embedded_resource(resourceUri: str) -> PromptMessages:  # noqa: N803
    """Bring a resource along."""
    brought = embedded(resourceUri, "Embedded resource content for testing.")
    return PromptMessages([PromptMessage(brought), PromptMessage(text("Please process the embedded resource above."))])


@prompt()
def test_prompt_with_image() -> Content:
    """Bring a picture along."""
    return Content([image(RED_PIXEL), text("Please analyze the image above.")])
