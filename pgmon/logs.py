"""Logging: one pipeline for our own events and those of libraries, as JSON or for people."""

from __future__ import annotations

import logging
import sys
from collections.abc import MutableMapping
from typing import Any

import structlog

from pgmon.redact import plain

SHARED: tuple[Any, ...] = (
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
)


def harmless(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> dict[str, Any]:
    """Make every text one line without control characters: names and messages come from outside.

    >>> harmless(None, "", {"event": "a\\nb", "n": 1})
    {'event': 'a b', 'n': 1}
    """
    return {k: plain(v, 2000) if isinstance(v, str) and k != "exception" else v for k, v in event.items()}


def configure(level: str, form: str) -> None:
    """Write events of `level` and above to the standard output, as 'json' or 'console'."""
    renderer: Any = (
        structlog.processors.JSONRenderer() if form == "json" else structlog.dev.ConsoleRenderer(colors=False)
    )
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*SHARED],
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                structlog.processors.format_exc_info,
                harmless,
                renderer,
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    # The pool tells every failed attempt, with the server's words; the door tells each change once.
    logging.getLogger("psycopg").setLevel(logging.CRITICAL)
    # The web server would tell of every client that leaves, and of every request that waits for a thread.
    logging.getLogger("waitress").setLevel(logging.ERROR)
    structlog.configure(
        processors=[structlog.stdlib.filter_by_level, *SHARED, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
    )
