"""Every Redis key of ours: `ltmc:1:<project>:<family>:<literal id>`, and which of them may live for ever.

RQ's own keys (`rq:…`) are as RQ has them. `_` stands for the whole installation.
"""

from __future__ import annotations

from urllib.parse import quote, unquote

SCHEMA = 1
INSTALLATION = "_"
PREFIX = f"ltmc:{SCHEMA}:{INSTALLATION}:"  # for the scripts, which build keys of the installation themselves

# family → (type, life, bound): docs/keys.md is made of this
FAMILIES: dict[str, tuple[str, str, str]] = {
    "installation": ("string", "permanent", "one: the id of the home whose stores this server's jobs work on"),
    "signing": ("string", "permanent", "one: the fingerprint of the key that signs its jobs"),
    "topic": ("string", "permanent", "one per project and topic: a counter, bumped on each change"),
    "metrics": ("hash", "permanent", "one per metric, one field per label set"),
    "counted": ("string", "1 hour", "one per process that counts: the number of what it added to the metrics last"),
    "cache": (
        "string",
        "the tool's or TOOL_CACHE_DEFAULT_TTL",
        "1,000 searches and 1,000 other results per project, of at most 64 kB each",
    ),
    "embedding": ("string", "1 day", "1,000 per project: the vector of a text, under its hash"),
    "cached": ("zset", "1 day", "one per project and kind: the keys of its cache by when they expire"),
    "probe": ("string", "15 s", "two: what was found of the stores, and that Redis takes writes"),
    "resumed": ("string", "1 day", "one per version that stopped on its way: how often it was sent again, and when"),
    "lease": ("zset", "permanent", "one: worker processes by when their hold on jobs ends"),
    "held": ("set", "permanent", "one per worker process that holds jobs: job and execution"),
    "idle": ("set", "permanent", "one per queue that somebody waits at: the worker processes to wake"),
    "wake": ("list", "60 s", "one per worker process: what it is told while it waits"),
    "due": ("zset", "permanent", "one: queues with delayed jobs by when the first is due"),
    "control": ("hash", "permanent", "one: pauses and limits of queues and functions, hosts that are drained"),
    "unschedulable": ("zset", "permanent", "one: the newest 1,000 entries of the schedule that cannot run, and why"),
    "leader": ("string", "5 s", "one: the process that reaps, schedules and trims"),
    "running": ("set", "permanent", "one per function with a limit: its executions that run"),
    "parked": ("zset", "permanent", "one per function at its limit: jobs that wait for one of its own to end"),
    "rate": ("string", "the rate's period", "one per queue or function with a rate: when its next job may start"),
    "log": ("list", "1 day after its last line", "the newest 1,000 lines of a job"),
    "steps": ("list", "1 day after the last one", "the newest 1,000 steps of a job's progress"),
    "noted": ("zset", "permanent", "one per project: its newest 10,000 jobs by when they were made"),
    "joined": ("string", "5 s", "one per call that calls like it may join: the id of its job"),
    "agent": ("zset", "2 min", "one per project: agents by when they were last heard of"),
    "projects": ("set", "2 min", "one: projects with agents heard of lately"),
    "ticket": ("string", "10 min", "one per dashboard link not yet opened"),
    "refused": ("list", "7 days", "the newest 100 jobs that were refused"),
}
PERMANENT = frozenset(family for family, (_, life, _) in FAMILIES.items() if life == "permanent")


def key(project: str, family: str, *ids: str) -> str:
    """Build a key; ids may hold anything, they are escaped."""
    if family not in FAMILIES:
        raise KeyError(f"{family} is not a declared key family")
    return ":".join(["ltmc", str(SCHEMA), project, family, *(quote(part, safe="") for part in ids)])


def parse(name: str) -> tuple[str, str, list[str]]:
    """Project, family and ids of a key of ours; ValueError for any other."""
    head, version, project, family, *ids = name.split(":")
    if head != "ltmc" or version != str(SCHEMA) or family not in FAMILIES:
        raise ValueError(f"not a key of ours: {name}")
    return project, family, [unquote(part) for part in ids]
