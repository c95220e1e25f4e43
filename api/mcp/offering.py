"""Everything that MCP offers beside tools, as the server takes it: resources, prompts, completion."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from api.mcp.asking import Asking
from api.mcp.completion import Completion
from api.mcp.prompts import Prompts
from api.mcp.resources import Resources
from ltmc_jobs.client import Client
from ltmc_jobs.queues.contract import Principal


def offering(client_of: Callable[[], Client], project: str, principal: Principal) -> dict[str, Any]:
    """Keyword arguments of the SDK's Server; `principal` is who asks where no HTTP request says it."""
    asking = Asking(client_of, project, principal)
    resources, prompts = Resources(asking), Prompts(asking)
    return {
        "on_list_resources": resources.list_resources,
        "on_list_resource_templates": resources.list_resource_templates,
        "on_read_resource": resources.read_resource,
        "on_list_prompts": prompts.list_prompts,
        "on_get_prompt": prompts.get_prompt,
        "on_completion": Completion(asking).complete,
    }
