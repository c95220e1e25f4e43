"""Every knob, read once: the environment's variables, the originals' names accepted as aliases.

Only process entry points make a Settings; everything else is handed one. `SettingsTable` in
docs/settings.md is generated from this file.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import quote, urlsplit, urlunsplit

import platformdirs
from pydantic import AliasChoices, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from ltmc_jobs.addresses import bracketed, is_redis, with_password
from ltmc_jobs.errors import Misconfigured

PROJECT_PATTERN = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$")
LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")


def _named(*names: str) -> AliasChoices:
    return AliasChoices(*names)


class _Home(BaseSettings):
    """Where the data is."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, case_sensitive=True, env_ignore_empty=True)

    home: Path = Field(
        default_factory=lambda: Path(platformdirs.user_data_dir("ltmc")),
        validation_alias="LTMC_HOME",
        description="Directory of all data, owner-only; relative paths resolve here",
    )

    @field_validator("home")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()


class Settings(_Home):
    """What a process is told by its environment. Unknown variables are ignored, wrong values refused by name."""

    db_path: Path = Field(Path("ltmc.db"), validation_alias="DB_PATH", description="SQLite file of the records")
    faiss_index_path: Path = Field(
        Path("faiss_index"), validation_alias="FAISS_INDEX_PATH", description="Directory of the FAISS snapshots"
    )
    project: str = Field("default", validation_alias="LTMC_PROJECT", description="Project of a call that names none")

    # Redis
    redis_enabled: bool = Field(
        True, validation_alias="REDIS_ENABLED", description="false: no connection; calls that need it answer `disabled`"
    )
    redis_url: SecretStr | None = Field(
        None,
        validation_alias=_named("REDIS_URL", "LETTA_REDIS_URL"),
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

    # The front end
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

    # Workers
    worker_count: int = Field(
        4,
        ge=1,
        le=64,
        validation_alias=_named("LTMC_WORKERS", "LETTA_WORKER_COUNT"),
        description="Processes for the default and low queues",
    )
    thread_slots: int = Field(
        8, ge=1, le=256, validation_alias="LTMC_THREAD_SLOTS", description="Jobs at once on a worker process's threads"
    )
    async_slots: int = Field(
        200, ge=1, le=10_000, validation_alias="LTMC_ASYNC_SLOTS", description="Coroutine jobs at once in a process"
    )
    process_slots: int = Field(
        1, ge=1, le=64, validation_alias="LTMC_PROCESS_SLOTS", description="Isolated jobs at once, a child process each"
    )
    stop_seconds: float = Field(
        20.0, ge=0, le=28, validation_alias="LTMC_STOP_SECONDS", description="How long a stopping worker lets jobs end"
    )
    job_days: int = Field(
        7, ge=1, validation_alias="LTMC_JOB_DAYS", description="Jobs that ended so many days ago are deleted"
    )
    signing_key: SecretStr | None = Field(
        None, validation_alias="LTMC_SIGNING_KEY", description="Key that signs jobs; unset: the one made on first start"
    )
    use_queue: bool = Field(
        True,
        validation_alias=_named("LTMC_USE_QUEUE", "LETTA_USE_REDIS_QUEUE"),
        description="false: serve calls locally, one after the other; refuse those that need Redis",
    )

    # Memory
    embedding_model: str = Field(
        "all-MiniLM-L6-v2", validation_alias="EMBEDDING_MODEL", description="Embedding model, a name or a folder"
    )
    embedding_backend: Literal["auto", "openvino", "sentence-transformers"] = Field(
        "auto", validation_alias="EMBEDDING_BACKEND", description="What runs the model; auto: the fastest faithful one"
    )
    records_url: str = Field(
        "sqlite:", validation_alias="RECORDS_URL", description="Backend of the records, by scheme; sqlite: is DB_PATH"
    )
    vectors_url: str = Field(
        "faiss:", validation_alias="VECTORS_URL", description="Backend of the index, by scheme; faiss: FAISS_INDEX_PATH"
    )
    graph_url: str | None = Field(
        None,
        validation_alias="GRAPH_URL",
        description="Backend of the graph, by scheme; unset: as NEO4J_URI, else sqlite:",
    )
    neo4j_enabled: bool = Field(
        True, validation_alias="NEO4J_ENABLED", description="false: the graph stays in SQLite even with NEO4J_URI"
    )
    neo4j_uri: str | None = Field(
        None, validation_alias="NEO4J_URI", description="Bolt address; unset: the graph lives in SQLite"
    )
    neo4j_user: str = Field("neo4j", validation_alias="NEO4J_USER", description="Neo4j user")
    neo4j_password: SecretStr | None = Field(None, validation_alias="NEO4J_PASSWORD", description="Neo4j password")
    neo4j_database: str = Field("neo4j", validation_alias="NEO4J_DATABASE", description="Neo4j database")
    cache_ttl_seconds: int = Field(
        1800, ge=1, validation_alias="TOOL_CACHE_DEFAULT_TTL", description="Life of a cached tool result, seconds"
    )

    # Talking
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field(
        "INFO",
        validation_alias=_named("LOG_LEVEL", "LTMC_LOG_LEVEL", "LETTA_WORKER_LOG_LEVEL"),
        description="How much is logged",
    )
    orchestration_mode: Literal["disabled", "basic", "full", "debug"] = Field(
        "basic", validation_alias="ORCHESTRATION_MODE", description="Shown in /health; the services come with it"
    )

    @field_validator("log_level", mode="before")
    @classmethod
    def _upper(cls, value: object) -> object:
        return value.upper() if isinstance(value, str) else value

    @field_validator("orchestration_mode", mode="before")
    @classmethod
    def _lower(cls, value: object) -> object:
        return value.lower() if isinstance(value, str) else value

    @field_validator("allowed_origins", "allowed_hosts", mode="before")
    @classmethod
    def _listed(cls, value: object) -> object:
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("project")
    @classmethod
    def _project(cls, value: str) -> str:
        if not PROJECT_PATTERN.match(value):
            raise ValueError("a project is 1 to 64 letters, digits, dots, dashes or underscores")
        return value

    @field_validator("redis_url")
    @classmethod
    def _redis(cls, value: SecretStr | None) -> SecretStr | None:
        if value is not None and not is_redis(value.get_secret_value()):
            raise ValueError("not a Redis address; write redis://:PASSWORD@HOST:PORT/DB (or rediss://, unix://)")
        return value

    @field_validator("records_url", "vectors_url", "graph_url")
    @classmethod
    def _pathless(cls, value: str | None) -> str | None:
        scheme, _, rest = (value or "").partition(":")
        if scheme in ("sqlite", "faiss") and rest.strip("/"):
            place = "DB_PATH" if scheme == "sqlite" else "FAISS_INDEX_PATH"
            raise ValueError(f"a path stands in {place}: set that, and write {scheme}: here")
        return value

    @classmethod
    def load(cls) -> Settings:
        """Read the environment; raise Misconfigured with a line for each wrong variable: its name, what is wrong."""
        try:
            return cls()
        except ValidationError as error:
            raise Misconfigured("\n".join(_told(found) for found in error.errors())) from None

    @classmethod
    def load_home(cls) -> Settings:
        """As `load`; where other variables are wrong the home alone, which is enough to see what runs and stop it."""
        try:
            return cls.load()
        except Misconfigured:
            return cls.model_construct(home=_Home().home)

    def resolve(self, path: Path) -> Path:
        """An absolute path; relative ones stand under the home."""
        return path if path.is_absolute() else self.home / path

    @property
    def records_file(self) -> Path:
        return self.resolve(self.db_path)

    @property
    def vectors_directory(self) -> Path:
        return self.resolve(self.faiss_index_path)

    @property
    def run_directory(self) -> Path:
        """Sockets, pid files and locks of the running platform."""
        return self.home / "run"

    @property
    def redis_directory(self) -> Path:
        """The embedded server's data."""
        return self.home / "redis"

    @property
    def redis_is_embedded(self) -> bool:
        return self.redis_enabled and self.redis_url is None and self.redis_host is None

    @property
    def graph_address(self) -> str:
        """Where the graph is; its scheme names the backend."""
        neo4j = self.neo4j_uri if self.neo4j_enabled else None
        return self.graph_url or neo4j or "sqlite:"

    @property
    def http_url(self) -> str:
        """Where a local client finds the API."""
        host = "localhost" if self.http_host in ("0.0.0.0", "::", "") else self.http_host
        return f"http://{bracketed(host)}:{self.http_port}"

    @property
    def needs_token(self) -> bool:
        """Whether local callers need the token too: beyond loopback they cannot be told apart."""
        return self.require_token or self.http_host not in LOOPBACK_NAMES

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


def _told(found: Any) -> str:
    """A line about one wrong variable; what was given only where it is no secret."""
    variable = str(found["loc"][0]) if found["loc"] else "settings"
    message = found["msg"].removeprefix("Value error, ")
    is_secret = any(
        variable in getattr(field.validation_alias, "choices", [field.validation_alias])
        and "SecretStr" in str(field.annotation)
        for field in Settings.model_fields.values()
    )
    return f"{variable}: {message}" + ("" if is_secret else f" (got {found.get('input')!r})")
