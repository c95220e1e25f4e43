"""The MCP server over streamable HTTP, mounted into an app."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass

from mcp.server.streamable_http_manager import StreamableHTTPASGIApp, StreamableHTTPSessionManager
from mcp.server.transport_security import TransportSecuritySettings
from starlette.routing import BaseRoute, Route

from api.mcp.asking import Asking
from api.mcp.old_sessions import OldSessions
from api.mcp.old_subscriptions import OldSubscriptions
from api.mcp.server import build
from api.mcp.watching import Watching
from api.security import BODY_LIMIT
from ltmc_jobs.client import Client
from ltmc_jobs.queues.contract import Principal
from ltmc_jobs.settings import Settings


@dataclass(frozen=True, slots=True)
class Mounted:
    """Routes for the app, and what must run around them for as long as it does."""

    routes: Sequence[BaseRoute]
    running: Callable[[], AbstractAsyncContextManager[None]]


def mount(client_of: Callable[[], Client], settings: Settings, *, path: str = "/mcp") -> Mounted:
    """The server over streamable HTTP, for one app.

    app.router.routes.extend(mounted.routes)      # app.mount would redirect /mcp to /mcp/
    async with mounted.running(): yield           # in the app's lifespan, once; a mounted app's own is never run

    The Guard stands in front: it checks Host and Origin, and puts the principal into the scope.
    """
    asking = Asking(client_of, settings.project, Principal())
    subscriptions = OldSubscriptions(asking, Watching(asking))
    manager = StreamableHTTPSessionManager(
        build(client_of, settings, subscriptions=subscriptions),
        stateless=True,  # nothing in this process' memory: any front end may answer any request
        json_response=False,  # as JSON there would be no progress and no first byte before the end
        max_request_body_size=BODY_LIMIT,
        # One rule, the Guard's: with the token any Host is served, which this list could not say.
        security_settings=TransportSecuritySettings(enable_dns_rebinding_protection=False),
    )
    app = OldSessions(StreamableHTTPASGIApp(manager), client_of, settings.project, subscriptions.events)
    return Mounted([Route(path, app, methods=["GET", "POST"])], manager.run)
