"""The log: whole lines in their order, and nobody who waits for its reader."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator

import pytest
import structlog

from pgmon import logs
from pgmon.logs import WAITING, Writer
from running import logging_kept
from watching import eventually

PIPE = 1 << 16  # what a pipe holds


@pytest.fixture
def pipe() -> Iterator[tuple[int, Writer]]:
    """Return the end of a pipe, and what writes into it."""
    reading, writing = os.pipe()
    os.set_blocking(reading, False)
    writer = Writer(writing)
    yield reading, writer
    eventually(lambda: not read(reading) and not writer._lines.unfinished_tasks)
    for descriptor in (reading, writing):
        os.close(descriptor)


def read(descriptor: int) -> bytes:
    """Return what a pipe holds now."""
    try:
        return os.read(descriptor, PIPE)
    except BlockingIOError:
        return b""


def say(writer: Writer, words: str) -> None:
    """Log something."""
    writer.handle(logging.LogRecord("pgmon", logging.INFO, "", 0, words, (), None))


def test_lines_are_written_in_their_order(pipe):
    reading, writer = pipe

    for n in range(100):
        say(writer, str(n))
    writer.flush()

    assert read(reading).split() == [str(n).encode() for n in range(100)]


@pytest.mark.fault("F88")
def test_a_log_that_nobody_reads_holds_nobody_and_what_was_dropped_is_counted(pipe):
    _, writer = pipe

    start = time.monotonic()
    for _ in range(3 * WAITING):
        say(writer, "x" * 999)
    took = time.monotonic() - start

    assert took < 1
    assert writer.dropped >= WAITING
    assert len(writer._lines.queue) == WAITING


@pytest.mark.fault("F88")
def test_the_end_does_not_wait_for_a_reader_that_never_comes(pipe):
    _, writer = pipe
    for _ in range(WAITING):
        say(writer, "x" * 999)

    start = time.monotonic()
    writer.flush()

    assert time.monotonic() - start < 3


def test_a_text_in_no_encoding_is_written(pipe):
    reading, writer = pipe

    say(writer, "a\udc80b")
    writer.flush()

    assert read(reading) == b"a\\udc80b\n"


@pytest.fixture
def configured() -> Iterator[None]:
    """Leave logging as it was."""
    with logging_kept():
        yield


@pytest.mark.fault("F51")
@pytest.mark.usefixtures("configured")
@pytest.mark.parametrize("form", ["json", "console"])
def test_a_traceback_shows_no_value_of_a_variable(form, capfd):
    logs.configure("info", form)

    secret = "c4nary" + "5ecret"
    try:
        raise LookupError(len(secret))
    except LookupError:
        structlog.get_logger("x").exception("it failed")
    logging.getLogger().handlers[0].flush()

    said = capfd.readouterr()
    assert "LookupError" in said.out
    assert secret not in said.out + said.err


@pytest.mark.fault("F48")
@pytest.mark.usefixtures("configured")
@pytest.mark.parametrize("form", ["json", "console"])
def test_what_is_logged_is_one_line_without_controls(form, capfd):
    logs.configure("info", form)

    structlog.get_logger("x").info("a\nb", name="c\x1b[31md\r\ne\x9b0m\u202ef")
    logging.getLogger().handlers[0].flush()

    said = capfd.readouterr().out
    assert said.count("\n") == 1
    assert not set(said) & set("\x1b\r\x9b\u202e")
