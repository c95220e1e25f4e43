"""What a backup holds, part by part, and where each part stands in a home."""

from __future__ import annotations

from pathlib import Path
from typing import Any, get_args
from urllib.parse import urlsplit, urlunsplit

from pydantic import AliasChoices, SecretStr

from ltmc_jobs.orchestration import installation, stale_topics
from ltmc_jobs.queues.envelope import KEY_FILE
from ltmc_jobs.settings import Settings

RECORDS = "records.db"
LOCAL = "local.db"  # calls that were served without the queue
REDIS = "redis.keys"
GRAPH = "graph.jsonl"  # of a graph that is not in the records' file
PASSWORD = "redis/password"
# Small files of a home, by their places in it.
FILES = (KEY_FILE, "token", installation.FILE, stale_topics.FILE, PASSWORD)
# Secrets that may stand in the environment instead of a file: such a one is not in the backup.
SECRETS = {"signing_key": KEY_FILE, "token": "token", "neo4j_password": None}


def has_graph(settings: Settings) -> bool:
    """Whether the graph is a server's, with a copy of its own."""
    return not settings.graph_address.startswith("sqlite:")


def places(settings: Settings) -> list[Path]:
    """Where the memory and the state of a home stand: what a restore replaces, or moves aside."""
    home = settings.home
    databases = (settings.records_file, home / LOCAL)
    logs = [file.with_name(f"{file.name}{suffix}") for file in databases for suffix in ("-wal", "-shm")]
    folders = (settings.redis_directory, settings.vectors_directory, home / "ingest")
    return [*databases, *logs, *folders, *(home / name for name in FILES if name != PASSWORD)]


def shown_settings(settings: Settings) -> dict[str, str]:
    """The variables that are set to something else than their default, without secrets and places."""
    shown: dict[str, str] = {}
    for name, field in Settings.model_fields.items():
        is_secret = field.annotation is SecretStr or SecretStr in get_args(field.annotation)
        value: Any = getattr(settings, name)
        if is_secret or name == "home" or value == field.get_default(call_default_factory=True):
            continue
        shown[variable(name)] = _without_login(str(value))
    return shown


def variable(name: str) -> str:
    """The environment variable of a setting."""
    alias = Settings.model_fields[name].validation_alias
    return str(alias.choices[0]) if isinstance(alias, AliasChoices) else str(alias)


def lacking(settings: Settings) -> list[str]:
    """Variables whose secrets a restored home needs, because they stand in no file of this one."""
    return [variable(name) for name in SECRETS if getattr(settings, name) is not None]


def _without_login(text: str) -> str:
    if "://" not in text:
        return text
    parts = urlsplit(text)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))
