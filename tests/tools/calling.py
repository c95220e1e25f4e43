"""Call a tool in this process as a worker does: through its form, with the services of one call."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from ltmc_jobs import registry, tools
from ltmc_jobs.queues.contract import ANYONE, new_job_id
from ltmc_jobs.queues.envelope import Call, Keyring
from ltmc_jobs.registry import Tool
from ltmc_jobs.services import Services
from ltmc_jobs.shared import Shared
from tests.conftest import build_settings

assert tools  # declares them


class Caller:
    """Calls tools for one project."""

    def __init__(self, services: Services, project: str) -> None:
        self.services, self.project = services, project

    def __call__(self, name: str, *, job_id: str | None = None, **arguments: Any) -> dict[str, Any]:
        """The result as JSON; raises the tool's own error, and InvalidArguments."""
        found = registry.find(name)
        assert isinstance(found, Tool)
        accepted = found.form.accept(arguments)
        call = Call(job_id or new_job_id(), found.kind, accepted, self.project, ANYONE, "trace", None)
        module, _, function = found.kind.path.rpartition(".")
        declared = getattr(__import__(module, fromlist=[function]), function)
        services = Services(self.services.shared, self.services.tiers, call)
        shown: dict[str, Any] = TypeAdapter(Any).dump_python(declared(services, **accepted), mode="json")
        return shown


@contextmanager
def services_without_redis(home: Path, **variables: object) -> Iterator[Services]:
    """The stores of a home of the tests' own, in a process that has no Redis."""
    settings = build_settings(home, **variables)
    settings.home.mkdir(mode=0o700, parents=True, exist_ok=True)
    Keyring.make(settings)
    services = Services.open(Shared.open_apart(settings))
    yield services
    services.close()
