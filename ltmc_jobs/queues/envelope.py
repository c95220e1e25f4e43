"""What travels in a job: signed JSON that names a declared function.

Version 1: v, id, project, principal, func, args, cache_key, trace_id, issued_at; principal, cache_key and trace_id are
left out where they are nobody's, none and the job's own id. What a requeue, a move or a schedule changes (queue, times)
is not signed.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from dataclasses import asdict, dataclass
from functools import lru_cache
from json.encoder import encode_basestring_ascii
from typing import Any

from ltmc_jobs import registry
from ltmc_jobs.errors import EnvelopeRefused, Misconfigured, UnknownMethod
from ltmc_jobs.private_files import make_secret
from ltmc_jobs.queues.contract import ANYONE, JobSpec, Principal
from ltmc_jobs.registry import JobKind
from ltmc_jobs.settings import Settings

VERSION = 1
KEY_FILE = "signing.key"
SIGNATURE = b',"signature":"'  # where `seal` puts it: last
UNSIGNED = (
    "the job carries no signed envelope; enqueue it through this platform "
    "(from code written for RQ: by ltmc_jobs.queues.for_rq.queue.Queue)"
)


class Keyring:
    """The keys of an installation: the first signs, all verify, so that keys can be rotated."""

    def __init__(self, keys: list[bytes]) -> None:
        if not keys or any(len(key) < 32 for key in keys):
            raise Misconfigured(
                "a signing key has at least 32 characters; LTMC_SIGNING_KEY or the key file is too short"
            )
        self._keys = {hashlib.sha256(key).hexdigest()[:8]: key for key in keys}
        self._current = next(iter(self._keys))

    @classmethod
    def load(cls, settings: Settings) -> Keyring:
        """The keys of the setting or of the home; Misconfigured, with the cure, where there are none."""
        if settings.signing_key is not None:
            return cls(settings.signing_key.get_secret_value().encode().split(b","))
        file = settings.home / KEY_FILE
        try:
            return cls(file.read_bytes().split())
        except FileNotFoundError:
            raise Misconfigured(
                f"no signing key in {settings.home}: start the platform there once, or copy {KEY_FILE} from its first "
                "host (or set LTMC_SIGNING_KEY to its content)"
            ) from None

    @classmethod
    def make(cls, settings: Settings) -> Keyring:
        """The keys, made now (owner-only) if the installation has none."""
        if settings.signing_key is None:
            make_secret(settings.home / KEY_FILE)
        return cls.load(settings)

    @property
    def fingerprints(self) -> list[str]:
        """Of each key, the signing one first: tells two keys apart, and neither key can be made from it."""
        return [hashlib.sha256(hashlib.sha256(key).digest()).hexdigest() for key in self._keys.values()]

    def sign(self, message: bytes) -> str:
        """`<key id>:<HMAC-SHA256 in hex>`."""
        return f"{self._current}:{hmac.digest(self._keys[self._current], message, 'sha256').hex()}"

    def verifies(self, message: bytes, signature: str) -> bool:
        """Whether one of the keys made this signature."""
        key = self._keys.get(signature.partition(":")[0])
        expected = hmac.digest(key or b"", message, "sha256").hex()
        given = signature.partition(":")[2].encode(errors="replace")
        return key is not None and hmac.compare_digest(expected.encode(), given)


@dataclass(frozen=True, slots=True)
class Call:
    """A verified envelope: who asked for which declared function, with what."""

    id: str
    kind: JobKind
    args: dict[str, Any]
    project: str
    principal: Principal
    trace_id: str
    cache_key: str | None


def seal(spec: JobSpec, keys: Keyring) -> str:
    """The signed envelope of a job, as JSON; TypeError or ValueError for arguments that are none.

    Written piece by piece in the order that `_canonical` sorts into: this is most of what an enqueue costs. What has
    its usual value is left out: Redis keeps every envelope as long as its job.
    """
    cached = f'"cache_key":{_text(spec.cache_key)},' if spec.cache_key is not None else ""
    principal = f'"principal":{_principal(spec.principal)},' if spec.principal != ANYONE else ""
    traced = f'"trace_id":{_text(spec.trace_id)},' if spec.trace_id and spec.trace_id != spec.id else ""
    content = (
        f'{{"args":{_encode(spec.args)},{cached}"func":{_text(spec.kind.name)},"id":{_text(spec.id)}'
        f',"issued_at":{round(time.time(), 6)!r},{principal}"project":{_text(spec.project)},{traced}"v":{VERSION}}}'
    )
    return f'{content[:-1]},"signature":"{keys.sign(content.encode())}"}}'


def unseal(envelope: Any, job_id: str, keys: Keyring) -> Call:
    """The call in an envelope; EnvelopeRefused unless it is ours, for this very job, and names what is declared."""
    return _call(verified(envelope, job_id, keys), job_id)


def unseal_text(text: bytes, job_id: str, keys: Keyring) -> Call | None:
    """The same for an envelope as `seal` wrote it, without writing it anew to verify it; None for any other form."""
    end = text.rfind(SIGNATURE)
    content, signature = text[:end] + b"}", text[end + len(SIGNATURE) : -2]
    if end < 0 or not text.endswith(b'"}') or not keys.verifies(content, signature.decode("ascii", "replace")):
        return None
    return _call(_checked(json.loads(content.decode()), job_id), job_id)


def _call(content: dict[str, Any], job_id: str) -> Call:
    try:
        kind = registry.kind(content["func"])
    except UnknownMethod:
        raise EnvelopeRefused(
            f"{content['func']!r} is not a declared tool or job kind here; one of your own must be in LTMC_TOOLS "
            "where the workers start (`ltmc tools` lists what is there)"
        ) from None
    return Call(
        id=job_id,
        kind=kind,
        args=content["args"],
        project=content["project"],
        principal=Principal(**content.get("principal", {})),
        trace_id=content.get("trace_id") or job_id,
        cache_key=content.get("cache_key"),
    )


def verified(envelope: Any, job_id: str, keys: Keyring) -> dict[str, Any]:
    """What an envelope says; EnvelopeRefused unless it is ours and for this very job."""
    if not isinstance(envelope, dict) or not isinstance(envelope.get("signature"), str):
        raise EnvelopeRefused(UNSIGNED)
    content = {name: value for name, value in envelope.items() if name != "signature"}
    if not keys.verifies(_canonical(content), envelope["signature"]):
        raise EnvelopeRefused("the job's signature is not of this installation (or its content was changed)")
    return _checked(content, job_id)


def _checked(content: dict[str, Any], job_id: str) -> dict[str, Any]:
    if content.get("v") != VERSION:
        raise EnvelopeRefused(f"envelope version {content.get('v')!r} is not {VERSION}; update the older side")
    if content["id"] != job_id:
        raise EnvelopeRefused("the envelope belongs to another job")
    return content


def reseal(content: dict[str, Any], job_id: str, keys: Keyring) -> str:
    """The envelope, as JSON, of another job that runs what a verified one says."""
    own = content | {"id": job_id, "issued_at": round(time.time(), 6)}
    if own.get("trace_id") == content["id"]:
        del own["trace_id"]
    return _encode(own | {"signature": keys.sign(_canonical(own))})


_encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), allow_nan=False).encode


def _canonical(content: dict[str, Any]) -> bytes:
    return _encode(content).encode()


def _text(value: str | None) -> str:
    return "null" if value is None else encode_basestring_ascii(value)


@lru_cache(maxsize=1024)
def _principal(principal: Principal) -> str:
    return _encode(asdict(principal))
