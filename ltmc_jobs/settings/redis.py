"""Where Redis is, and how it is reached."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

from pydantic import AliasChoices, Field, SecretStr, field_validator

from ltmc_jobs.addresses import bracketed, is_redis, with_password
from ltmc_jobs.settings.home import Home


class RedisSettings(Home):
    """A server of the user's, or the embedded one."""

    redis_enabled: bool = Field(
        True, validation_alias="REDIS_ENABLED", description="false: no connection; calls that need it answer `disabled`"
    )
    redis_url: SecretStr | None = Field(
        None,
        validation_alias=AliasChoices("REDIS_URL", "LETTA_REDIS_URL"),
        description="Redis or Valkey address; overrides the parts below, but for a password that it lacks; given, no "
        "embedded server starts",
    )
    redis_host: str | None = Field(
        None, validation_alias="REDIS_HOST", description="Host of a server of your own; unset: the embedded one"
    )
    redis_port: int = Field(6381, ge=1, le=65535, validation_alias="REDIS_PORT", description="Port of the server")
    redis_password: SecretStr | None = Field(
        None, validation_alias="REDIS_PASSWORD", description="Password; the embedded server makes its own"
    )
    redis_db: int = Field(0, ge=0, validation_alias="REDIS_DB", description="Database number")
    redis_insecure: bool = Field(
        False, validation_alias="LTMC_REDIS_INSECURE", description="Allow a far Redis without password (isolated nets)"
    )
    allow_eviction: bool = Field(
        False, validation_alias="LTMC_ALLOW_EVICTION", description="Start on a Redis that evicts keys; jobs may be lost"
    )

    @field_validator("redis_url")
    @classmethod
    def _redis(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not is_redis(value.get_secret_value()):
            raise ValueError("not a Redis address; write redis://:PASSWORD@HOST:PORT/DB (or rediss://, unix://)")
        return value

    @property
    def redis_directory(self) -> Path:
        """The embedded server's data."""
        return self.home / "redis"

    @property
    def redis_is_embedded(self) -> bool:
        return self.redis_enabled and self.redis_url is None and self.redis_host is None

    def redis_address(self) -> str:
        """The server's URL with its credentials: for connecting, never for showing."""
        password = self.redis_password.get_secret_value() if self.redis_password else None
        if self.redis_url is not None:
            return with_password(self.redis_url.get_secret_value(), password)
        if password is None and self.redis_is_embedded:
            made = self.redis_directory / "password"
            password = made.read_text().strip() if made.exists() else None
        login = f":{quote(password, safe='')}@" if password else ""
        return f"redis://{login}{bracketed(self.redis_host or '127.0.0.1')}:{self.redis_port}/{self.redis_db}"

    def redis_shown(self) -> str:
        """The server's URL without credentials."""
        parts = urlsplit(self.redis_address())
        return urlunsplit(parts._replace(netloc=parts.netloc.rsplit("@", 1)[-1], query=""))
