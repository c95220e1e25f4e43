"""Completion: what fits an argument of a prompt or a variable of a resource, from what is really there."""

from __future__ import annotations

from collections.abc import Mapping

import mcp_types as types
from mcp.shared.exceptions import MCPError

from api.mcp.asking import Asking, Context
from api.mcp.resources import JOB_TEMPLATE
from ltmc_jobs import offers
from ltmc_jobs.errors import LtmcError

VALUES = 100  # as many as the protocol allows
JOBS = 200  # the newest that are looked at
TYPED = 1024  # characters; longer names there are none


class Completion:
    """completion/complete."""

    def __init__(self, asking: Asking) -> None:
        self._asking = asking

    async def complete(self, ctx: Context, params: types.CompleteRequestParams) -> types.CompleteResult:
        """Values for what was typed, best first; none where the argument may be anything."""
        typed = params.argument.value[:TYPED]
        try:
            if isinstance(params.ref, types.ResourceTemplateReference) and params.ref.uri == JOB_TEMPLATE:
                return _values(*await self._jobs(ctx, typed))
            tool = _completers(params.ref).get(params.argument.name)
            if tool is None:
                return _values([], 0)
            found = await self._asking.result(ctx, tool, {"typed": typed, "limit": VALUES})
            return _values(found["names"], found["total"])
        except LtmcError as error:
            raise self._asking.refusal(ctx, error) from None

    async def _jobs(self, ctx: Context, typed: str) -> tuple[list[str], int]:
        listed = await self._asking.client_of().jobs(self._asking.session(ctx), limit=JOBS)
        ids = [job["job_id"] for job in listed["jobs"] if job["job_id"].startswith(typed)]
        return ids, len(ids)


def _completers(ref: types.PromptReference | types.ResourceTemplateReference) -> Mapping[str, str]:
    found: offers.Prompt | offers.Resource | None
    if isinstance(ref, types.PromptReference):
        found, name = offers.find_prompt(ref.name), ref.name
    else:
        found, name = offers.find_resource(ref.uri), ref.uri
    if found is None:
        raise MCPError(types.INVALID_PARAMS, f"there is nothing called {name!r}")
    return found.completes


def _values(names: list[str], total: int) -> types.CompleteResult:
    shown = names[:VALUES]
    return types.CompleteResult(completion=types.Completion(values=shown, total=total, has_more=total > len(shown)))
