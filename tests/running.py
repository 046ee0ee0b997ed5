"""pgmon itself, in this process or in one of its own, and what it exposes as numbers."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext, redirect_stderr, redirect_stdout
from pathlib import Path
from unittest.mock import patch

import structlog
from prometheus_client.parser import text_string_to_metric_families
from waitress.server import create_server

from pgmon.agent import Agent
from pgmon.cli import main
from pgmon.clock import Clock
from pgmon.config import Config, load
from pgmon.web import create_app
from servers import free_port

ROOT = Path(__file__).parent.parent

Samples = dict[str, dict[tuple[tuple[str, str], ...], float]]


def configured(dsn: str, **environ: str) -> Config:
    """Return the configuration for a DSN with PGMON_* overrides, the prefix left out."""
    return load(None, {"PGMON_DSN": dsn, **{f"PGMON_{name}": value for name, value in environ.items()}}).config


@contextmanager
def agent(dsn: str, clock: Clock | None = None, **environ: str) -> Iterator[Agent]:
    """An agent in this process, whose ticker does not run: it reads when the test does."""
    made = Agent(configured(dsn, **environ), clock)
    try:
        yield made
    finally:
        made.close()


@contextmanager
def serving(agent: Agent, one_at_a_time: AbstractContextManager[object] | None = None) -> Iterator[str]:
    """Serve an agent on a free port of the loopback interface."""
    app = create_app(agent)

    def answer(environ: dict, start: Callable) -> list[bytes]:
        with one_at_a_time or nullcontext():
            return [*app(environ, start)]

    server = create_server(answer, host="127.0.0.1", port=0, threads=4)
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.effective_port}"
    finally:
        server.task_dispatcher.shutdown()
        server.trigger.pull_trigger(server.close)
        thread.join(5)


def parsed(text: str) -> Samples:
    """Return {metric: {labels without cluster: value}}.

    >>> parsed('pg_up{cluster="a",db="b"} 1\\n')
    {'pg_up': {(('db', 'b'),): 1.0}}
    """
    found: Samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = tuple(sorted((k, v) for k, v in sample.labels.items() if k != "cluster"))
            found.setdefault(sample.name, {})[labels] = float(sample.value)
    return found


def value(samples: Samples, metric: str, **labels: str) -> float | None:
    """Return the one sample of a metric that has these labels; None when it is absent."""
    wanted = labels.items()
    found = [v for k, v in samples.get(metric, {}).items() if wanted <= dict(k).items()]
    assert len(found) <= 1, f"{metric}{labels}: {len(found)} samples"
    return found[0] if found else None


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """Return the variables of a process of pgmon: of PGMON_* and PG* it has those that are given."""
    inherited = {k: v for k, v in os.environ.items() if not k.startswith(("PGMON_", "PG"))}
    return inherited | {"PYTHONPATH": str(ROOT)} | {f"PGMON_{name}": value for name, value in given.items() if value}


def pgmon(*arguments: str, dsn: str = "", **environ: str) -> tuple[int, str]:
    """Run pgmon to its end; return the exit code and everything that it printed."""
    result = subprocess.run(
        [sys.executable, "-m", "pgmon", *arguments],
        env=environment({"DSN": dsn} | environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd="/",
        timeout=60,
    )
    return result.returncode, result.stdout.decode()


def command(*arguments: str, dsn: str = "", **environ: str) -> tuple[int, str]:
    """Run a command as `pgmon` does, but in this process, which takes a second less."""
    given = patch.dict(os.environ, environment({"DSN": dsn} | environ), clear=True)
    writer = patch("pgmon.logs.Writer", unthreaded)
    with (
        tempfile.TemporaryFile("w+") as said,
        redirect_stdout(said),
        redirect_stderr(said),
        logging_kept(),
        given,
        writer,
    ):
        try:
            main(arguments, prog_name="pgmon")
        except SystemExit as end:
            code = end.code
        for handler in logging.getLogger().handlers:
            handler.flush()
        said.seek(0)
        return code, said.read()


def unthreaded(descriptor: int) -> logging.Handler:
    """Return what writes to the standard output in the thread of who logs, and leaves nothing behind."""
    os.close(descriptor)
    return logging.StreamHandler(sys.stdout)


@contextmanager
def logging_kept() -> Iterator[None]:
    """Let something configure the logging of a process that is ours."""
    loggers = [logging.getLogger(name) for name in ("", "psycopg", "waitress")]
    levels, handlers = [logger.level for logger in loggers], loggers[0].handlers[:]
    try:
        yield
    finally:
        loggers[0].handlers[:] = handlers
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        structlog.reset_defaults()


class Process:
    """`pgmon` as a process of its own, on a free port."""

    def __init__(self, dsn: str, *arguments: str, environ: Mapping[str, str] | None = None) -> None:
        self.port = free_port()
        own = {"DSN": dsn, "HTTP_BIND": f"127.0.0.1:{self.port}"}
        self.environ = environment(own) | dict(environ or {})
        self.arguments = [sys.executable, "-m", "pgmon", *arguments]
        self.process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Process:
        self.process = subprocess.Popen(
            self.arguments, env=self.environ, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd="/"
        )
        os.set_blocking(self.process.stdout.fileno(), False)
        self._said = b""
        for _ in range(600):
            if self.process.poll() is not None or self._answers():
                break
            time.sleep(0.05)
        return self

    def _answers(self) -> bool:
        try:
            return self.get("/livez")[0] == 200
        except OSError:
            return False

    def get(self, path: str, timeout: float = 5, **headers: str) -> tuple[int, str]:
        """Return status and body."""
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as exc:
            with exc:
                return exc.code, exc.read().decode()

    def scrape(self) -> Samples:
        """Return what /metrics says now."""
        return parsed(self.get("/metrics")[1])

    def wait_for(self, metric: str, expected: float | None, timeout: float = 30, **labels: str) -> float:
        """Scrape until a sample has a value (None: is absent); return the seconds it took."""
        start = time.monotonic()
        while True:
            got = value(self.scrape(), metric, **labels)
            if got == expected:
                return time.monotonic() - start
            assert time.monotonic() - start < timeout, f"{metric} is {got} and not {expected}:\n{self.said()}"
            time.sleep(0.2)

    def said(self) -> str:
        """Return what it has logged so far."""
        self._said += self.process.stdout.read() or b""
        return self._said.decode()

    def end(self, timeout: float = 10) -> int:
        """Send SIGTERM and return the exit code."""
        self.process.terminate()
        return self.process.wait(timeout)

    def __exit__(self, *exc: object) -> None:
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.said()
        self.process.stdout.close()
