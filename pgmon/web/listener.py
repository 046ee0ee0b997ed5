"""The HTTP server: waitress, whose clients have so many seconds, and of which none keeps another out."""

from __future__ import annotations

import resource
import sys
import time
from dataclasses import dataclass
from typing import Any

import structlog
from flask import Flask
from waitress.adjustments import Adjustments
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser, ParsingError
from waitress.server import MultiSocketServer, TcpWSGIServer
from waitress.task import ThreadedTaskDispatcher

from pgmon.config import Http
from pgmon.errors import StartError
from pgmon.web.safety import OPEN

PAUSE = 1.0  # seconds until a connection is accepted again after one that no descriptor was left for

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What clients may take."""

    clients: int = 100  # connections at a time; never more than half of the descriptors that this process may have
    asking: float = 5.0  # seconds for a request, from its first byte to its last
    quiet: float = 30.0  # seconds for taking an answer, and between two requests

    @property
    def most(self) -> int:
        """Connections at a time."""
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return self.clients if soft == resource.RLIM_INFINITY else min(self.clients, soft // 2)


class Asked(HTTPRequestParser):
    """A request. What comes behind it before it is answered is not read: the connection ends with the answer.

    Otherwise who sends hundreds of requests at once and takes no answer fills the memory, and then holds a thread.
    """

    def received(self, data: bytes) -> int:
        """Return how many bytes were taken."""
        taken = super().received(data)
        if self.completed and not self.empty and taken < len(data):
            self.headers = {**self.headers, "CONNECTION": "close"}
            return len(data)
        return taken

    def parse_header(self, header_plus: bytes) -> None:
        """Read the head. Raises ParsingError."""
        try:
            super().parse_header(header_plus)
        except ValueError as exc:  # of urllib: waitress would print a traceback
            raise ParsingError("the target is no URL") from exc
        self.expect_continue = False  # there is no body to go on with


class Client(HTTPChannel):
    """A connection. `since` is when it began what it does now: ask, take an answer, or neither."""

    parser_class = Asked

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self.since = time.monotonic()  # waitress's own times are the wall clock's, which may be put back
        self._served = False  # by a thread, at this moment

    def received(self, data: bytes) -> bool:
        """Take bytes; empty lines before a request are none of it."""
        if self.request is None and data.strip(b"\r\n"):
            self.since = time.monotonic()
        return super().received(data)

    def service(self) -> None:
        """Answer a request."""
        self._served = True
        try:
            super().service()
        finally:
            self.since, self._served = time.monotonic(), False
            self.server.pull_trigger()

    def writable(self) -> bool:
        """Tell whether the main loop is to send: while a thread does, it could only turn, and take the thread's turns.

        Fifty clients at once took ten times the processor time for that.
        """
        return not self._served and bool(super().writable())

    @property
    def has_turn(self) -> bool:
        """Whether we wait for the client, not the client for us."""
        return not self.requests

    def is_late(self, now: float, bounds: Bounds) -> bool:
        """Tell whether the client has had its turn for too long."""
        return self.has_turn and now - self.since > (bounds.asking if self.request else bounds.quiet)


class Threads(ThreadedTaskDispatcher):
    """The threads. A probe does not queue: the agent must not be killed because it is asked for a lot."""

    def add_task(self, task: Any) -> None:
        """Take a client whose request is to be answered."""
        asked = getattr(task.requests[0], "path", "")  # what is no request has none
        with self.lock:
            (self.queue.appendleft if asked in OPEN else self.queue.append)(task)
            self.queue_cv.notify()


class Listener(TcpWSGIServer):
    """A listening socket. When there are too many clients, a new one takes the place of who has waited longest."""

    channel_class = Client

    def __init__(self, bounds: Bounds, app: Flask, sockets: dict[int, Any], **named: Any) -> None:
        self._bounds, self._most, self._sockets = bounds, bounds.most, sockets
        self._look_at = self._accept_at = self._complain_at = 0.0  # not before these times
        super().__init__(app, sockets, **named)

    @property
    def clients(self) -> list[Client]:
        """Those of all listeners."""
        return [client for client in self._sockets.values() if isinstance(client, Client)]

    def readable(self) -> bool:
        """Tell whether a client may come; end those that are late. waitress asks before each poll."""
        now = time.monotonic()
        if now >= self._look_at:
            self._look_at = now + 1
            for client in self.clients:
                if client.is_late(now, self._bounds):
                    client.handle_close()
        return now >= self._accept_at and (len(self.clients) < self._most or any(c.has_turn for c in self.clients))

    def handle_accept(self) -> None:
        """Let a client in."""
        if len(self.clients) >= self._most:
            self._make_room()
        super().handle_accept()

    def accept(self) -> Any:
        """Return a connection, None when it is gone again."""
        try:
            return super().accept()
        except OSError as exc:  # without a pause the socket, which stays readable, would keep a processor busy
            self._accept_at = now = time.monotonic() + PAUSE
            if now >= self._complain_at:
                self._complain_at = now + 60
                log.warning("a connection could not be accepted", reason=exc.strerror)
            self._make_room()
            raise

    def _make_room(self) -> None:
        waiting = [client for client in self.clients if client.has_turn]
        if waiting:
            min(waiting, key=lambda client: client.since).handle_close()


def listen(app: Flask, http: Http, bounds: Bounds = Bounds()) -> MultiSocketServer:
    """Return the server, listening. Raises StartError."""
    host, port = http.address
    dispatcher = Threads()
    sockets: dict[int, Any] = {}
    try:
        settings = Adjustments(
            host=host,
            port=port,
            backlog=1024,
            max_request_header_size=16384,
            max_request_body_size=1,  # nothing that can be asked has a body
            outbuf_overflow=sys.maxsize,  # there may be no place for files
            clear_untrusted_proxy_headers=True,
            ident=None,
            expose_tracebacks=False,
            log_socket_errors=False,
            asyncore_use_poll=True,
        )
        for address in settings.listen:  # each enters itself into the sockets
            Listener(bounds, app, sockets, dispatcher=dispatcher, adj=settings, sockinfo=address)
    except (OSError, ValueError) as exc:
        reason = exc.strerror if isinstance(exc, OSError) else "it is no address"
        raise StartError(f"cannot listen on {http.bind}: {reason} (http.bind, PGMON_HTTP_BIND)") from exc
    dispatcher.set_thread_count(http.threads)
    return MultiSocketServer(sockets, settings, dispatcher=dispatcher)
