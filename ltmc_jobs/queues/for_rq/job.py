"""RQ's job with our rules: JSON whatever anybody asks for, no callbacks, no webhooks; and by itself it runs nothing.

`workers.stock.Job` runs it in RQ's own worker.
"""

from __future__ import annotations

import json
from typing import Any

from rq.exceptions import DeserializationError
from rq.job import Job as RqJob
from rq.serializers import JSONSerializer

from ltmc_jobs.errors import EnvelopeRefused


class JsonOnly(JSONSerializer):
    """RQ's JSON serializer, for which what is no JSON is a ValueError, and never opened otherwise."""

    @staticmethod
    def loads(s: bytes | str, *args: Any, **kwargs: Any) -> Any:
        """As json.loads, from bytes of any kind."""
        text = s.decode(errors="replace") if isinstance(s, bytes) else s
        return json.loads(text, *args, **kwargs)


class Job(RqJob):
    """A job whose one argument is its envelope."""

    def __init__(self, id: str | None = None, connection: Any = None, serializer: Any = None) -> None:  # noqa: ARG002
        super().__init__(id, connection, JsonOnly)

    def _execute(self) -> Any:
        raise EnvelopeRefused(
            "this process is not set up to run jobs: start workers with ./start_workers.sh, or RQ's own with "
            "--job-class workers.stock.Job"
        )

    def _deserialize_data(self) -> None:
        # RQ asks for the function's name before it runs anything: what is no JSON must get as far as _execute.
        try:
            super()._deserialize_data()  # type: ignore[no-untyped-call]
        except DeserializationError:
            self._func_name, self._instance, self._args, self._kwargs = "unreadable", None, (), {}

    @property
    def has_callbacks(self) -> bool:
        """Whether it carries what nobody signed."""
        names = (self._success_callback_name, self._failure_callback_name, self._stopped_callback_name)
        return bool(self.webhooks) or any(names)

    def execute_failure_callback(self, *args: Any) -> None:
        """None: callbacks are not signed."""

    def execute_success_callback(self, *args: Any) -> None:
        """None: callbacks are not signed."""

    def execute_stopped_callback(self, *args: Any) -> None:
        """None: callbacks are not signed."""

    def send_webhooks(self, *args: Any, **kwargs: Any) -> None:
        """None: RQ's own webhooks are not signed; ours are jobs."""
