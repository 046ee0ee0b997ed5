"""Logging: one pipeline for all events, our own and those of libraries, as JSON or for people, which holds nobody."""

from __future__ import annotations

import logging
import os
import queue
import sys
import threading
from collections.abc import MutableMapping
from typing import Any

import structlog

from pgmon.redact import plain

WAITING = 1000  # lines
MOMENT = 1.0  # seconds that the end waits for them

SHARED: tuple[Any, ...] = (
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
)
PLAIN = structlog.dev.plain_traceback  # where rich is installed, it would show the values of variables

log = structlog.get_logger(__name__)


def harmless(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> dict[str, Any]:
    """Make every text one line without control characters: names and messages come from outside.

    >>> harmless(None, "", {"event": "a\\nb", "n": 1})
    {'event': 'a b', 'n': 1}
    """
    return {k: plain(v, 2000) if isinstance(v, str) and k != "exception" else v for k, v in event.items()}


class Writer(logging.Handler):
    """Writes lines in a thread of its own: a pipe that nobody empties would hold whoever logs, for ever.

    What comes while too many wait is dropped; how many that were is told as soon as somebody reads again.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor, self.dropped = descriptor, 0
        self._lines: queue.Queue[str] = queue.Queue(WAITING)
        threading.Thread(target=self._work, daemon=True, name="pgmon-log").start()

    def emit(self, record: logging.LogRecord) -> None:
        """Take a line, or drop it. Never blocks."""
        try:
            self._lines.put_nowait(self.format(record))
        except queue.Full:
            self.dropped += 1

    def flush(self) -> None:
        """Return when everything is written, or after a moment."""
        with self._lines.all_tasks_done:
            self._lines.all_tasks_done.wait_for(lambda: not self._lines.unfinished_tasks, MOMENT)

    def _work(self) -> None:
        told = 0
        while True:
            line = self._lines.get()
            self._write(f"{line}\n".encode(errors="backslashreplace"))
            if self.dropped > told:
                told, new = self.dropped, self.dropped - told
                log.warning("lines of the log were dropped", lines=new)
            self._lines.task_done()

    def _write(self, line: bytes) -> None:
        try:
            while line:
                line = line[os.write(self._descriptor, line) :]
        except OSError:  # there is no reader any more
            self.dropped += 1


def configure(level: str, form: str) -> None:
    """Write events of `level` and above to the standard output, as 'json' or 'console'."""
    renderer: Any = (
        structlog.processors.JSONRenderer()
        if form == "json"
        else structlog.dev.ConsoleRenderer(colors=False, exception_formatter=PLAIN)
    )
    # A descriptor of its own: where the standard output is closed, its number may become a connection's.
    handler = Writer(os.dup(sys.stdout.fileno())) if sys.stdout else logging.NullHandler()
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
