"""Secrets of an installation: a file each, owner-only, made once."""

from __future__ import annotations

import os
import secrets
from contextlib import suppress
from pathlib import Path


def make_secret(file: Path) -> str:
    """The secret in a file; made now, 48 random bytes, if there is none. Of two makers at once, the first counts."""
    if not file.exists():
        made = file.with_name(f".{file.name}.{os.getpid()}")
        with os.fdopen(os.open(made, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as written:
            written.write(secrets.token_urlsafe(48) + "\n")
        with suppress(FileExistsError):
            os.link(made, file)
        made.unlink()
    return file.read_text().strip()
