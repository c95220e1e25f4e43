"""Prompts: what a user puts into a conversation, each made by a job from what the memory has."""

from __future__ import annotations

from typing import Any

import mcp_types as types
from mcp.shared.exceptions import MCPError

from api.mcp.asking import Asking, Context
from api.mcp.blocks import block_of
from api.mcp.offered import Offered
from ltmc_jobs import offers
from ltmc_jobs.errors import LtmcError
from ltmc_jobs.results.content import is_content

LIST_TTL_MS = 60_000


class Prompts:
    """prompts/list and prompts/get."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking
        self._offered = Offered(asking)

    async def list_prompts(
        self, _ctx: Context, _params: types.PaginatedRequestParams | None
    ) -> types.ListPromptsResult:
        """All of them: they are few."""
        return types.ListPromptsResult(
            prompts=[_listed(prompt) for prompt in offers.prompts()], ttl_ms=LIST_TTL_MS, cache_scope="public"
        )

    async def get_prompt(
        self, ctx: Context, params: types.GetPromptRequestParams
    ) -> types.GetPromptResult | types.InputRequiredResult:
        """The messages of a prompt, or what it asks first."""
        prompt = offers.find_prompt(params.name)
        if prompt is None:
            raise MCPError(types.INVALID_PARAMS, f"there is no prompt called {params.name!r}")
        try:
            arguments = offers.typed(prompt.form, params.arguments or {})
            prompt.form.accept(arguments)
            result = await self._offered.result(ctx, prompt.tool, arguments, params)
        except LtmcError as error:
            raise self._asking.refusal(ctx, error, prompt=params.name) from None
        if isinstance(result, types.InputRequiredResult):
            return result
        return types.GetPromptResult(description=prompt.form.description, messages=_messages(result))


def _listed(prompt: offers.Prompt) -> types.Prompt:
    schema = prompt.form.input_schema
    required = schema.get("required", ())
    return types.Prompt(
        name=prompt.tool,
        title=prompt.tool.replace("_", " ").capitalize(),
        description=prompt.form.description,
        arguments=[
            types.PromptArgument(name=name, description=said.get("description"), required=name in required)
            for name, said in schema["properties"].items()
        ],
    )


def _messages(result: dict[str, Any]) -> list[types.PromptMessage]:
    """From a text, a Content (each block a message of the user's) or PromptMessages."""
    if set(result) == {"messages"}:
        return [_message(message["role"], message["content"]) for message in result["messages"]]
    if is_content(result):
        return [_message("user", block) for block in result["blocks"]]
    return [_message("user", {"type": "text", "text": str(result.get("result", ""))})]


def _message(role: Any, block: dict[str, Any]) -> types.PromptMessage:
    return types.PromptMessage(role=role, content=block_of(block))
