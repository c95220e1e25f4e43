"""To the graph: documents with their chunks, what they mention and what comes next; messages with what they used."""

from __future__ import annotations

from typing import Any

from ltmc_jobs.memory import linking
from ltmc_jobs.services import Services


def link_versions(services: Services, versions: list[list[int]]) -> dict[str, Any]:
    """Write the nodes and links of each `[resource_id, version]`; what older versions had and these have not goes."""
    records = services.tiers.records
    found = [records.version(resource_id, version) for resource_id, version in versions]
    current = [version for version in found if version is not None and version.state != "superseded"]
    by_project: dict[str, list[linking.Linked]] = {}
    for version in current:
        chunks = records.version_chunks(version.resource_id, version.version)
        by_project.setdefault(version.project, []).append((version, chunks))
    for group in by_project.values():
        linking.link(services.tiers.corpus, services.tiers.graph, group)
    for version in current:
        records.mark_linked(version.resource_id, version.version)
    return {"versions": versions, "linked": len(current)}


def link_messages(services: Services, message_ids: list[int]) -> dict[str, Any]:
    """Write messages and their links to the chunks that they used, as they stand now."""
    tiers, project = services.tiers, services.current.project
    before = tiers.links.chunk_ids(message_ids, project=project)
    messages = {number: tiers.chats.message(number, project=project) for number in before}
    used = [(message, before[number]) for number, message in messages.items() if message is not None]
    linking.reference(tiers.graph, project, used)
    # What was forgotten meanwhile would stand in the graph for ever.
    after = tiers.links.chunk_ids(message_ids, project=project)
    gone = [number for number in before if tiers.chats.message(number, project=project) is None]
    dead = {chunk for number in before.keys() - {*gone} for chunk in {*before[number]} - {*after.get(number, ())}}
    if gone or dead:
        tiers.graph.remove(project, "Message", [str(number) for number in gone])
        tiers.graph.remove(project, "Chunk", [str(chunk) for chunk in dead])
    return {"message_ids": message_ids, "linked": len(before) - len(gone)}
