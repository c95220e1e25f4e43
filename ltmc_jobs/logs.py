"""Structured logs: one JSON object a line on standard error, secrets taken out."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog
from structlog.typing import Processor

from ltmc_jobs.errors import LtmcError

TELLING = ("rq.worker",)  # writes every failed job's traceback

# Assignments, headers and the like alone: words that speak of a token are worth keeping
SECRET = re.compile(
    r"""(?ix)
    ( (?<![^\W_]) (?: passw(?:or)?d | token | secret | authorization | (?:api|signing)[_-]?key ) \b
      ["']? [ \t]* [=:] [ \t]* ["']? (?: (?: bearer | basic ) [ \t]+ )? )
    (?! (?: bearer | basic ) \b ) [^\s'",;&}`…]+
    | ( \b bearer [ \t]+ ) [\w.~+/=-]{16,}
    | ( :// [^/\s:@]* : ) [^@\s/]+ @
    """
)
NAMED = re.compile(r"(?i)(?:^|_)(?:password|token|secret|authorization|(?:api|signing)_key)$")


def configure(level: str, **bound: Any) -> None:
    """Set up this process's logging, also of the libraries; `bound` stands in every line."""
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        redact,
    ]
    structlog.configure(
        processors=[*shared, structlog.processors.JSONRenderer(ensure_ascii=False, default=str)],
        wrapper_class=structlog.make_filtering_bound_logger(logging.getLevelNamesMapping()[level]),
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.JSONRenderer(ensure_ascii=False, default=str),
            ],
        )
    )
    logging.basicConfig(
        handlers=[handler], level=max(logging.WARNING, logging.getLevelNamesMapping()[level]), force=True
    )
    for name in TELLING:
        logging.getLogger(name).addFilter(shorten)
    structlog.contextvars.clear_contextvars()
    structlog.contextvars.bind_contextvars(**bound)


def redact(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Take what looks like a secret out of every text of a line."""
    for name, value in event.items():
        if isinstance(value, str):
            event[name] = "***" if NAMED.search(name) else SECRET.sub(_hidden, value)
    return event


def _hidden(match: re.Match[str]) -> str:
    return f"{match[3]}***@" if match[3] else f"{match[1] or match[2]}***"


def shorten(record: logging.LogRecord) -> bool:
    """A logging filter: of an error that its caller is told, its words without the traceback."""
    error = sys.exc_info()[1]
    if isinstance(error, LtmcError) and not error.retry and record.levelno >= logging.ERROR:
        said = record.getMessage().partition("\n")[0]
        record.msg, record.args = f"{said}: {type(error).__name__}: {error}", None
        record.exc_info = record.exc_text = None
    return True
