"""What somebody who can write to Redis may try; each attack plants a job and gives its id."""

from __future__ import annotations

import json
import pickle
import subprocess
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rq import Queue as RqQueue
from rq.serializers import JSONSerializer

from ltmc_jobs.queues.contract import JobSpec, new_job_id
from ltmc_jobs.queues.envelope import Keyring, seal
from ltmc_jobs.shared import Shared
from tests import queue_kinds as kinds


@dataclass(frozen=True)
class Attacker:
    """Writes to Redis as it likes; has the keys of the installation only where an insider is meant."""

    shared: Shared
    marker: Path

    @property
    def ours(self) -> JobSpec:
        """What a genuine call would enqueue; it would leave the marker behind."""
        return JobSpec(kind=kinds.APPEND, args={"file": str(self.marker), "line": "ran"}, project="default")

    def enqueue(self, spec: JobSpec) -> str:
        return self.shared.queue.enqueue(spec).id

    def rq(self, serializer: Any = JSONSerializer) -> RqQueue:
        return RqQueue("default", connection=self.shared.redis, serializer=serializer)

    def put(self, envelope: Any, job_id: str = "", *more: Any) -> str:
        """A job of RQ's making with this argument."""
        return self.rq().enqueue(kinds.APPEND.path, args=(envelope, *more), job_id=job_id or new_job_id()).id

    def change(self, job_id: str, field: str, value: str | bytes) -> str:
        self.shared.redis.hset(f"rq:job:{job_id}", field, value)
        return job_id

    def sealed(self, **changed: Any) -> dict[str, Any]:
        """A genuine envelope, changed afterwards."""
        return self.seal(self.ours) | changed

    def seal(self, spec: JobSpec, keys: Keyring | None = None) -> dict[str, Any]:
        """The envelope of a job."""
        sealed: dict[str, Any] = json.loads(seal(spec, keys or self.shared.keys))
        return sealed

    def signed(self, job_id: str, **changed: Any) -> dict[str, Any]:
        """An insider's: signed with the real key, whatever it says."""
        content = self.sealed(id=job_id, **changed)
        del content["signature"]
        message = json.dumps(content, sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()
        return content | {"signature": self.shared.keys.sign(message)}


class Planted:
    """Runs a command when it is unpickled."""

    def __init__(self, command: str) -> None:
        self.command = command

    def __reduce__(self) -> Any:
        return subprocess.call, (self.command.split(),)


def pickled(attacker: Attacker) -> str:
    payload = zlib.compress(pickle.dumps(Planted(f"touch {attacker.marker}")))
    return attacker.change(attacker.put({}), "data", payload)


def pickled_call(attacker: Attacker) -> str:
    return attacker.rq(None).enqueue("os.system", f"touch {attacker.marker}").id


def os_system(attacker: Attacker) -> str:
    return attacker.rq().enqueue("os.system", f"touch {attacker.marker}").id


def bare_declared(attacker: Attacker) -> str:
    return attacker.rq().enqueue(kinds.APPEND.path, file=str(attacker.marker), line="ran").id


def undeclared(attacker: Attacker) -> str:
    job_id = new_job_id()
    return attacker.put(attacker.signed(job_id, func="os.system"), job_id)


def importable(attacker: Attacker) -> str:
    job_id = new_job_id()
    return attacker.put(attacker.signed(job_id, func=kinds.APPEND.path), job_id)


def callback(attacker: Attacker) -> str:
    return attacker.change(attacker.enqueue(attacker.ours), "success_callback_name", "os.system")


def failure_callback(attacker: Attacker) -> str:
    return attacker.change(attacker.enqueue(attacker.ours), "failure_callback_name", "os.system")


def stopped_callback(attacker: Attacker) -> str:
    return attacker.change(attacker.enqueue(attacker.ours), "stopped_callback_name", "os.system")


def webhook(attacker: Attacker) -> str:
    hook = {"url": "http://127.0.0.1:1/", "job_status": "finished"}
    return attacker.change(attacker.enqueue(attacker.ours), "webhooks", json.dumps([hook]))


def replay(attacker: Attacker) -> str:
    return attacker.put(attacker.sealed())


def changed_args(attacker: Attacker) -> str:
    spec = attacker.ours
    return attacker.put(attacker.seal(spec) | {"args": {**spec.args, "line": "changed"}}, spec.id)


def added_field(attacker: Attacker) -> str:
    spec = attacker.ours
    return attacker.put(attacker.seal(spec) | {"admin": True}, spec.id)


def second_argument(attacker: Attacker) -> str:
    spec = attacker.ours
    return attacker.put(attacker.seal(spec), spec.id, "more")


def unknown_key(attacker: Attacker) -> str:
    spec = attacker.ours
    return attacker.put(attacker.seal(spec, Keyring([b"k" * 48])), spec.id)


def unsigned(attacker: Attacker) -> str:
    spec = attacker.ours
    return attacker.put(attacker.seal(spec) | {"signature": None}, spec.id)


def empty_signature(attacker: Attacker) -> str:
    spec = attacker.ours
    known = attacker.seal(spec)["signature"].partition(":")[0]
    return attacker.put(attacker.seal(spec) | {"signature": f"{known}:"}, spec.id)


def odd_signature(attacker: Attacker) -> str:
    spec = attacker.ours
    known = attacker.seal(spec)["signature"].partition(":")[0]
    return attacker.put(attacker.seal(spec) | {"signature": f"{known}:é"}, spec.id)


def version(attacker: Attacker) -> str:
    job_id = new_job_id()
    return attacker.put(attacker.signed(job_id, v=2), job_id)


def no_object(attacker: Attacker) -> str:
    return attacker.put(["nothing", 1, None])


ATTACKS: list[Callable[[Attacker], str]] = [
    os_system, bare_declared, undeclared, importable, callback, failure_callback, stopped_callback, webhook,
    replay, changed_args, added_field, second_argument, unknown_key, unsigned, empty_signature,
    version, no_object,
]  # fmt: skip
UNREADABLE = [pickled, pickled_call, odd_signature]
