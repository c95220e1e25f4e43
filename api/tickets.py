"""Who may open the dashboard: a one-time link buys a cookie, signed by the installation, for a working day."""

from __future__ import annotations

import secrets
import time
from hashlib import sha256

from ltmc_jobs import keys
from ltmc_jobs.queues.envelope import Keyring
from ltmc_jobs.shared import Shared

TICKET_SECONDS = 600
COOKIE_SECONDS = 12 * 3600
COOKIE = "ltmc_dashboard"


def issue(shared: Shared) -> str:
    """A ticket that opens the dashboard once within ten minutes; Redis keeps only its hash."""
    ticket = secrets.token_urlsafe(24)
    shared.redis.set(_key(ticket), "1", ex=TICKET_SECONDS)
    return ticket


def link(shared: Shared) -> str:
    """An address that opens the dashboard once, within ten minutes."""
    return f"{shared.settings.http_url}/rq/open?ticket={issue(shared)}"


def redeem(shared: Shared, ticket: str) -> str | None:
    """A cookie for a ticket not used before, else None."""
    if not shared.redis.delete(_key(ticket)):
        return None
    until = str(int(time.time()) + COOKIE_SECONDS)
    return f"{until}.{shared.keys.sign(_message(until))}"


def is_valid(ring: Keyring, cookie: str) -> bool:
    """Whether a cookie is ours and has not expired."""
    until, _, signature = cookie.partition(".")
    # A cookie may hold anything: ² is a digit too, and a comparison of texts takes ASCII alone.
    plain = cookie.isascii() and until.isdigit() and len(until) < 12
    return plain and int(until) > time.time() and ring.verifies(_message(until), signature)


def _key(ticket: str) -> str:
    return keys.key(keys.INSTALLATION, "ticket", sha256(ticket.encode()).hexdigest())


def _message(until: str) -> bytes:
    return f"dashboard {until}".encode()
