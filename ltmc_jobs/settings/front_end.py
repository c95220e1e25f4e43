"""How calls come in: the address, the token, who may call, how long a call waits."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import NoDecode

from ltmc_jobs.addresses import bracketed
from ltmc_jobs.settings.home import Home

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


class FrontEndSettings(Home):
    """The API process's part."""

    http_host: str = Field("localhost", validation_alias="HTTP_HOST", description="Address the API binds")
    http_port: int = Field(5050, ge=1, le=65535, validation_alias="HTTP_PORT", description="Port of the API")
    require_token: bool = Field(
        False, validation_alias="LTMC_REQUIRE_TOKEN", description="Ask local callers for the token too"
    )
    token: SecretStr | None = Field(
        None, validation_alias="LTMC_TOKEN", description="The API token; unset: the one made on first start"
    )
    wait_seconds: float = Field(
        20.0, ge=0, le=45, validation_alias="LTMC_WAIT", description="How long a call waits for its result, seconds"
    )
    allowed_origins: Annotated[tuple[str, ...], NoDecode] = Field(
        (), validation_alias="LTMC_ALLOWED_ORIGINS", description="Browser origins that may call, comma-separated"
    )
    allowed_hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (), validation_alias="LTMC_ALLOWED_HOSTS", description="Further Host names served, comma-separated"
    )
    dashboard: bool = Field(True, validation_alias="LTMC_DASHBOARD", description="Serve rq-dashboard under /rq")
    dashboard_url: str | None = Field(
        None, validation_alias="LTMC_DASHBOARD_URL", description="Where the dashboard is, if not on this host's socket"
    )

    @field_validator("allowed_origins", "allowed_hosts", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @property
    def http_url(self) -> str:
        """Where a local client finds the API."""
        host = "localhost" if self.http_host in ("0.0.0.0", "::", "") else self.http_host
        return f"http://{bracketed(host)}:{self.http_port}"

    @property
    def needs_token(self) -> bool:
        """Whether local callers need the token too: beyond loopback they cannot be told apart."""
        return self.require_token or self.http_host not in LOOPBACK_NAMES
