"""Installation: whose files the jobs of this Redis work on. Nothing ever writes into a second memory by accident."""

from __future__ import annotations

from pathlib import Path

from redis import Redis

from ltmc_jobs import keys
from ltmc_jobs.errors import Misconfigured
from ltmc_jobs.private_files import make_secret
from ltmc_jobs.queues.envelope import Keyring

FILE = "installation"


class Installation:
    """The id in the home's file, and the one that Redis knows."""

    def __init__(self, connection: Redis, home: Path) -> None:
        self._connection = connection
        self._file = home / FILE

    @property
    def local_id(self) -> str | None:
        """This home's id; None before the platform was started in it."""
        return self._file.read_text().strip() if self._file.exists() else None

    @property
    def registered_id(self) -> str | None:
        """The id of the home that this server's store jobs belong to."""
        found = self._connection.get(keys.key(keys.INSTALLATION, "installation"))
        return found.decode() if isinstance(found, bytes) else None

    def owns_stores(self) -> bool:
        """Whether jobs that touch stores may run on this home's files."""
        return self.local_id is not None and self.local_id == self.registered_id

    def register(self) -> str:
        """Make this home the one; Misconfigured if another is."""
        own = make_secret(self._file)
        self._connection.set(keys.key(keys.INSTALLATION, "installation"), own, nx=True)
        if self.registered_id != own:
            raise Misconfigured(
                f"this Redis works for another installation ({self.registered_id}), whose memory is not in "
                f"{self._file.parent}: run `./start_workers.sh workers` here to lend it workers, give this home a "
                "Redis (or REDIS_DB) of its own, or set LTMC_HOME to that installation's directory"
            )
        return own

    def check_keys(self, keyring: Keyring) -> None:
        """Refuse a host that cannot verify this installation's jobs; its home says which key signs them.

        After a rotation the home names the new key as soon as it was seen with both.
        """
        name = keys.key(keys.INSTALLATION, "signing", "key")
        known, signing = self._connection.get(name), keyring.fingerprints[0]
        if isinstance(known, bytes) and known.decode() not in keyring.fingerprints:
            raise Misconfigured(
                "this host's signing key is not the installation's: copy signing.key from it (or LTMC_SIGNING_KEY); "
                f"a new key takes over while the old one stands behind it. Is the old one lost, delete {name} in Redis"
            )
        if self.owns_stores() and known != signing.encode():
            self._connection.set(name, signing)
