"""A FastMCP server with a plain tool and one that is a Docket task: python -m benchmarks.calls_peers.fastmcp PORT URL

It runs in an environment of its own, and with the worker that it brings by default, in its own process.
"""

from __future__ import annotations

import sys

from fastmcp import FastMCP  # type: ignore[import-not-found]
from fastmcp_tasks import TasksExtension  # type: ignore[import-not-found]

PORT, REDIS = sys.argv[1:]
server = FastMCP("peer", tasks=False)
server.add_extension(TasksExtension(url=REDIS))


@server.tool
async def answer_at_once(number: int) -> int:
    """Give the number back."""
    return number


@server.tool(task=True)
async def answer_by_task(number: int) -> int:
    """Give the number back, from Docket's worker."""
    return number


if __name__ == "__main__":
    server.run(transport="http", port=int(PORT), show_banner=False, log_level="warning", stateless_http=True)
