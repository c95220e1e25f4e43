"""A bare FastAPI route that answers JSON-RPC: python -m benchmarks.calls_peers.bare PORT"""

from __future__ import annotations

import sys
from typing import Any

import uvicorn
from fastapi import FastAPI

app = FastAPI()


@app.post("/jsonrpc")
async def echo(asked: dict[str, Any]) -> dict[str, Any]:
    """Give the number back."""
    return {"jsonrpc": "2.0", "id": asked["id"], "result": {"result": asked["params"]["arguments"]["number"]}}


if __name__ == "__main__":
    uvicorn.run(app, port=int(sys.argv[1]), log_level="warning", access_log=False)
