"""What a call says beside its arguments, in `_meta`: whose it is, how its job is handled, how long it waits."""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass, replace
from typing import Any

from ltmc_jobs.errors import InvalidArguments
from ltmc_jobs.form import Form
from ltmc_jobs.handling import Handling, priority_named, ttl_in
from ltmc_jobs.registry import Queue
from ltmc_jobs.session import Session

NAME_LIMIT = 256  # characters
WAIT_LIMIT = 45.0  # seconds; hosts give up after 60


@dataclass(frozen=True, slots=True)
class CallMeta:
    """Each part is None where the caller says nothing of it."""

    wait_seconds: float | None = None
    project: str | None = None
    agent_id: str | None = None
    session_id: str | None = None
    idempotency_key: str | None = None
    priority: Queue | None = None
    ttl_seconds: int | None = None

    @classmethod
    def read(cls, meta: Any) -> CallMeta:
        """From a `_meta` object, whose keys of ours begin with `ltmc/`; InvalidArguments names a wrong one."""
        if meta is None:
            return cls()
        if not isinstance(meta, dict):
            raise InvalidArguments("_meta is an object", field="_meta")
        return cls(
            wait_seconds=wait_in(meta.get("ltmc/wait"), "_meta.ltmc/wait"),
            project=_named(meta, "ltmc/project"),
            agent_id=_named(meta, "ltmc/agent"),
            session_id=_named(meta, "ltmc/session"),
            idempotency_key=_named(meta, "ltmc/idempotencyKey"),
            priority=priority_named(meta.get("ltmc/priority"), "_meta.ltmc/priority"),
            ttl_seconds=ttl_in(meta.get("ltmc/ttlMs"), "_meta.ltmc/ttlMs"),
        )

    def applied(self, session: Session) -> Session:
        """The session with what this says put before what it had."""
        principal = replace(
            session.principal,
            agent_id=self.agent_id or session.principal.agent_id,
            session_id=self.session_id or session.principal.session_id,
        )
        return replace(session, principal=principal, project=self.project or session.project)

    def handling(self, session: Session, form: Form) -> Handling:
        """How the job of a call by this form is to be treated."""
        return Handling(self._job_id(session, form), self.priority, self.ttl_seconds)

    def _job_id(self, session: Session, form: Form) -> str | None:
        """The id that this caller's idempotency key stands for with this tool; None without one."""
        if self.idempotency_key is None:
            return None
        who = [session.principal.name, session.principal.agent_id]
        same = [session.project, *who, form.name, self.idempotency_key]
        return str(uuid.uuid5(uuid.NAMESPACE_OID, json.dumps(same, sort_keys=True)))


def wait_in(value: Any, field: str) -> float | None:
    """Seconds to wait, 0 to 45; None for none given."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if value is not None and not (number and 0 <= value <= WAIT_LIMIT):
        raise InvalidArguments(f"{field}: a number of seconds, 0 to {WAIT_LIMIT:.0f}", field=field)
    return None if value is None else float(value)


def _named(meta: dict[str, Any], name: str) -> str | None:
    value = meta.get(name)
    if value is not None and not (isinstance(value, str) and 0 < len(value) <= NAME_LIMIT):
        raise InvalidArguments(f"_meta: {name} is a text of 1 to {NAME_LIMIT} characters", field=f"_meta.{name}")
    return value
