"""Everything that MCP offers beside tools, as the server takes it: resources, prompts, completion."""

from __future__ import annotations

from typing import Any

from api.mcp.asking import Asking
from api.mcp.completion import Completion
from api.mcp.old_subscriptions import OldSubscriptions
from api.mcp.prompts import Prompts
from api.mcp.resources import Resources


def offering(asking: Asking, subscriptions: OldSubscriptions) -> dict[str, Any]:
    """Keyword arguments of the SDK's Server."""
    resources, prompts = Resources(asking), Prompts(asking)
    return {
        "on_list_resources": resources.list_resources,
        "on_list_resource_templates": resources.list_resource_templates,
        "on_read_resource": resources.read_resource,
        "on_subscribe_resource": subscriptions.subscribe,
        "on_unsubscribe_resource": subscriptions.unsubscribe,
        "on_list_prompts": prompts.list_prompts,
        "on_get_prompt": prompts.get_prompt,
        "on_completion": Completion(asking).complete,
    }
