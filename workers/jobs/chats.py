"""What is noted in conversations behind a call's back."""

from __future__ import annotations

from typing import Any

from ltmc_jobs.errors import NotFound
from ltmc_jobs.services import Services


def log_retrieval(services: Services, conversation_id: str, query: str, chunk_ids: list[int]) -> dict[str, Any]:
    """Keep a query as a message of its conversation, linked to the chunks that it found and that are there still."""
    call = services.current
    chats, links = services.tiers.chats, services.tiers.links
    message = chats.log(
        project=call.project,
        conversation_id=conversation_id,
        role="user",
        content=query,
        agent_name=call.principal.agent_id,
        source_tool="retrieve_memory",
        job_id=call.id,
    )
    living = services.tiers.records.chunks(chunk_ids)
    try:
        made = links.add(message.id, [chunk for chunk in chunk_ids if chunk in living], project=call.project)
        services.memory.link_messages([message.id])
    except NotFound:  # a newer version took a chunk's place just now
        made = 0
    return {"message_id": message.id, "links": made}
