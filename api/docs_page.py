"""/docs: Swagger UI from this machine alone, so it works offline and no other's script runs in our origin."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from importlib.resources import files

from fastapi import APIRouter
from fastapi.responses import HTMLResponse, Response

POLICY = (
    "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
    "form-action 'self'; frame-ancestors 'none'"
)
KINDS = {"swagger-ui-bundle.js": "text/javascript", "swagger-ui.css": "text/css", "favicon.png": "image/png"}
PAGE = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>LTMC Jobs: all routes</title>
<link rel="stylesheet" href="/docs/swagger-ui.css">
<link rel="icon" href="/docs/favicon.png">
</head>
<body>
<div id="swagger-ui"></div>
<script src="/docs/swagger-ui-bundle.js"></script>
<script src="/docs/begin.js"></script>
</body>
</html>
"""
# No validator: it would be asked over the network.
BEGIN = (
    "SwaggerUIBundle({url: '/openapi.json', dom_id: '#swagger-ui', deepLinking: true, validatorUrl: null, "
    "presets: [SwaggerUIBundle.presets.apis]});\n"
)


def router() -> APIRouter:
    """The page and its files."""
    routes = APIRouter(include_in_schema=False)
    headers = {"Content-Security-Policy": POLICY}

    @routes.get("/docs")
    async def page() -> HTMLResponse:
        return HTMLResponse(PAGE, headers=headers)

    @routes.get("/docs/begin.js")
    async def begin() -> Response:
        return Response(BEGIN, media_type="text/javascript")

    for name in KINDS:
        routes.add_api_route(f"/docs/{name}", _file(name), methods=["GET"])
    return routes


def _file(name: str) -> Callable[[], Awaitable[Response]]:
    async def file() -> Response:
        found = files("fastapi_offline") / "static" / name  # the package's files alone: its code is not used
        return Response(found.read_bytes(), media_type=KINDS[name], headers={"Cache-Control": "max-age=86400"})

    return file
