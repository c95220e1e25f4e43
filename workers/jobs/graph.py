"""Documents to the graph: their chunks, what they mention, what comes next to them."""

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
