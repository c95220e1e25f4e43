"""rq-dashboard in a process of its own, on a Unix socket of the home or a TCP port: JSON only, cookie only.

As it comes, a planted pickle runs in it when its page is viewed, and its pages write a job's words into the HTML as
they are; here the one is shown as unreadable, and the other escaped.
"""

from __future__ import annotations

import html
import json
import sys
from typing import Any
from urllib.parse import urlsplit

import waitress
from flask import Flask, Response, abort, redirect, request
from rq.exceptions import InvalidJobOperation, NoSuchJobError
from rq.serializers import DefaultSerializer, JSONSerializer
from rq_dashboard import blueprint, web

from api import tickets
from api.dashboard_buttons import replace_buttons
from api.dashboard_socket import dashboard_socket
from ltmc_jobs import logs
from ltmc_jobs.errors import Conflict, LtmcError, NotFound
from ltmc_jobs.settings import Settings
from ltmc_jobs.shared import Shared, checked_address

# Its pages are made of inline scripts and of templates compiled by eval.
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; style-src 'self' 'unsafe-inline'; "
    "object-src 'none'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
# What a page's own script escapes, by the page's data
ESCAPED_THERE = {"/data/jobs/": ("description", "exc_info"), "/data/workers.json": ("description",)}


def create_app(shared: Shared) -> Flask:
    """The dashboard under /rq, behind the guard."""
    app = Flask("ltmc-dashboard")
    app.config.from_object("rq_dashboard.default_settings")
    app.config["RQ_DASHBOARD_REDIS_URL"] = checked_address(shared.settings)
    web.config.serializer = JSONSerializer
    # Some of its views name no serializer; nothing in this process may unpickle.
    for kind in (DefaultSerializer, JSONSerializer):
        kind.dumps, kind.loads = staticmethod(JSONSerializer.dumps), staticmethod(shown)  # type: ignore[method-assign]
    web.setup_rq_connection(app)
    app.register_blueprint(blueprint, url_prefix="/rq")
    replace_buttons(app, blueprint.name, shared)
    app.before_request(lambda: guard(shared))
    app.after_request(plain)
    app.add_url_rule("/rq/open", "open", lambda: open_with_ticket(shared))
    for error in (NoSuchJobError, InvalidJobOperation, NotFound, Conflict):
        app.register_error_handler(error, lambda _error: Response(ABSENT, 404, mimetype="text/plain"))
    return app


def open_with_ticket(shared: Shared) -> Any:
    """The cookie, for a ticket not used before."""
    cookie = tickets.redeem(shared, request.args.get("ticket", ""))
    if cookie is None:
        return Response(CLOSED, 403, mimetype="text/plain")
    opened = redirect("/rq/")
    opened.set_cookie(
        tickets.COOKIE, cookie, max_age=tickets.COOKIE_SECONDS, path="/rq", httponly=True, samesite="Strict"
    )
    return opened


def guard(shared: Shared) -> Any:
    """None lets the request pass."""
    if request.path == "/rq/open":
        return None if request.method == "GET" else abort(405)  # a previewer's HEAD must not use the link up
    if not tickets.is_valid(shared.keys, request.cookies.get(tickets.COOKIE, "")):
        return Response(CLOSED, 403, mimetype="text/plain")
    return abort(403) if changes() and not same_origin() else None


def plain(response: Response) -> Response:
    """The answer with a job's words escaped, and with the headers that keep other sites out."""
    if response.is_json:
        kept = next((names for part, names in ESCAPED_THERE.items() if part in request.path), ())
        response.set_data(json.dumps(escaped(response.get_json(), kept)))
    response.headers["Content-Security-Policy"] = POLICY
    response.headers["X-Frame-Options"] = "DENY"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Referrer-Policy"] = "same-origin"
    return response


CLOSED = "The dashboard opens by a one-time link: run `ltmc dashboard` (the start prints one too).\n"
ABSENT = "There is no such job, it has expired, or this cannot be done to it now.\n"


def changes() -> bool:
    """Whether a request changes something; rq-dashboard has a GET that requeues."""
    return request.method not in ("GET", "HEAD") or "/requeue/" in request.path


def same_origin() -> bool:
    """Whether the browser says that a page of ours sent this."""
    site = request.headers.get("Sec-Fetch-Site")
    if site is not None:
        return site == "same-origin"
    sender = request.headers.get("Origin") or request.headers.get("Referer") or ""
    try:
        return urlsplit(sender).netloc == request.host
    except ValueError:
        return False


def shown(data: bytes) -> Any:
    """JSON; anything else only by its size, so that one strange job does not close the page of a whole queue."""
    try:
        return json.loads(data)
    except ValueError:
        return {"unreadable": f"{len(data)} bytes, not JSON"}


def escaped(value: Any, kept: tuple[str, ...] = ()) -> Any:
    """A JSON value with every text in it as HTML shows it, but for those under the names kept."""
    if isinstance(value, dict):
        return {html.escape(name): inner if name in kept else escaped(inner, kept) for name, inner in value.items()}
    if isinstance(value, list):
        return [escaped(inner, kept) for inner in value]
    return html.escape(value) if isinstance(value, str) else value


def main() -> int:
    """`python -m api.dashboard` serves; `--tcp HOST:PORT` for a host of its own."""
    try:
        settings = Settings.load()
        logs.configure(settings.log_level, process="dashboard")
        shared = Shared.open(settings)
        serve(shared, sys.argv[sys.argv.index("--tcp") + 1] if "--tcp" in sys.argv else None)
    except LtmcError as error:
        sys.stderr.write(f"{error.code}: {error}\n")
        return 2
    return 0


def serve(shared: Shared, listen: str | None) -> None:
    """Serve until SIGTERM."""
    where: dict[str, Any] = {"listen": listen}
    if listen is None:
        shared.settings.run_directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        where = {"unix_socket": str(dashboard_socket(shared.settings)), "unix_socket_perms": "600"}
    waitress.serve(create_app(shared), threads=4, ident=None, **where)


if __name__ == "__main__":
    sys.exit(main())
