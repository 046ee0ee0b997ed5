"""A TCP proxy on loopback that breaks connections in the ways networks do.

One thread does all the work. A method returns when its fault is in force, and may be called from any thread.
"""

from __future__ import annotations

import select
import socket
import struct
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress

from servers import free_port

CHUNK = 65_536
FULL = 64  # chunks waiting in one direction before the proxy stops reading, so that back-pressure gets through
RST = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 s: close() sends a reset


class Flow:
    """One direction of a connection: what was read from `source` and is due, or not yet, at `sink`."""

    def __init__(self, source: socket.socket, sink: socket.socket, is_answer: bool) -> None:
        self.source, self.sink, self.is_answer = source, sink, is_answer
        self.waiting: deque[tuple[float, bytes]] = deque()  # when due, what; b"" is the end
        self.not_before = 0.0  # a dripping flow's next turn
        self.blocked = False  # the sink took less than it was offered
        self.ended = False  # nothing more to read
        self.done = False  # the end has been passed on

    def due(self) -> float | None:
        """Return when the next bytes may be sent, or None when there are none."""
        return max(self.waiting[0][0], self.not_before) if self.waiting and not self.done else None


class Proxy:
    """Forward connections to (host, port) until told otherwise; usable as a context manager.

    `accepted` counts the connections taken so far.
    """

    def __init__(self, host: str, port: int, listener: socket.socket | None = None) -> None:
        """Stand before (host, port), on a free port of loopback unless it is given a socket that listens elsewhere."""
        self.accepted = 0
        self._target = (host, port)
        self._frozen = False
        self._closed = False
        self._delay = 0.0
        self._rate: float | None = None
        self._pairs: list[tuple[Flow, Flow]] = []
        self._orders: deque[tuple[Callable[[], None], threading.Event]] = deque()
        self._bell, self._rung = socket.socketpair()
        self._listener: socket.socket | None = listener or listen("127.0.0.1", 0)
        self.host, self.port = self._listener.getsockname()
        self._thread = threading.Thread(target=self._run, name=f"proxy-{self.port}", daemon=True)
        self._thread.start()

    def __enter__(self) -> Proxy:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    # -- faults ----------------------------------------------------------------------------------------------------

    @property
    def open(self) -> int:
        """Return the number of connections now open."""
        return len(self._pairs)

    def freeze(self) -> None:
        """Swallow everything, ends of connections too, like a black hole; new connections open and get no answer."""
        self._order(lambda: setattr(self, "_frozen", True))

    def thaw(self) -> None:
        """Forward again, beginning with what came meanwhile."""
        self._order(lambda: setattr(self, "_frozen", False))

    def reset(self) -> None:
        """Reset every connection, on both sides, with an RST."""
        self._order(self._drop_all)

    def refuse(self) -> None:
        """Stop listening: new connections are refused, those open stay."""
        self._order(self._stop_listening)

    def listen(self) -> None:
        """Listen again, on the same port."""

        def again() -> None:
            self._listener = self._listener or listen(self.host, self.port)

        self._order(again)

    def delay(self, seconds: float) -> None:
        """Hold every answer of the server back for `seconds`; 0 ends it, and lets go what was held back."""

        def from_now_on() -> None:
            self._delay, latest = seconds, time.monotonic() + seconds
            for _, answer in self._pairs:
                answer.waiting = deque((min(due, latest), chunk) for due, chunk in answer.waiting)

        self._order(from_now_on)

    def drip(self, bytes_per_second: float | None) -> None:
        """Let the answers of the server through at this rate per connection; None ends it."""

        def at_this_rate() -> None:
            self._rate = bytes_per_second
            for _, answer in self._pairs:
                answer.not_before = 0.0

        self._order(at_this_rate)

    def target(self, host: str, port: int) -> None:
        """Send new connections to another server, as after a failover; those open stay where they are."""
        self._order(lambda: setattr(self, "_target", (host, port)))

    def half_close(self) -> None:
        """End every connection towards the client only: it reads an end of file, what it sends still arrives."""

        def end_answers() -> None:
            for _, answer in self._pairs:
                with suppress(OSError):
                    answer.sink.shutdown(socket.SHUT_WR)
                answer.waiting.clear()
                answer.ended = answer.done = True

        self._order(end_answers)

    def close(self) -> None:
        """Stop listening, reset what is open and end the thread."""

        def end() -> None:
            self._closed = True
            self._stop_listening()
            self._drop_all()

        if not self._closed:
            self._order(end)
            self._thread.join()
            self._bell.close()
            self._rung.close()

    def _order(self, change: Callable[[], None]) -> None:
        """Have the thread make a change, and wait for it.

        Only the thread may close a socket: one closed while it is polled lives on until the poll returns.
        """
        obeyed = threading.Event()
        self._orders.append((change, obeyed))
        self._bell.send(b"!")
        if not obeyed.wait(5):
            raise RuntimeError("the proxy's thread does not answer")

    # -- the thread ------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        while not self._closed:
            ready = _poll(*self._interests())
            if self._rung in ready:
                self._rung.recv(CHUNK)
            if self._listener in ready:
                self._accept()
            if not self._frozen:
                self._forward(ready)
            while self._orders:
                change, obeyed = self._orders.popleft()
                change()
                obeyed.set()

    def _interests(self) -> tuple[dict[socket.socket, int], float | None]:
        """Return what to poll each socket for, and for how many seconds at most."""
        wanted = {self._rung: select.POLLIN}
        if self._listener:
            wanted[self._listener] = select.POLLIN
        if self._frozen:
            return wanted, None
        turns = []
        for flow in (flow for pair in self._pairs for flow in pair):
            if not flow.ended and len(flow.waiting) < FULL:
                wanted[flow.source] = wanted.get(flow.source, 0) | select.POLLIN
            if flow.blocked:
                wanted[flow.sink] = wanted.get(flow.sink, 0) | select.POLLOUT
            elif (due := flow.due()) is not None:
                turns.append(due)
        return wanted, max(min(turns) - time.monotonic(), 0) if turns else None

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:  # gone again
            return
        server = socket.socket()
        for side in (client, server):
            side.setblocking(False)
            side.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        server.connect_ex(self._target)  # how that went is seen on the first read or write
        self.accepted += 1
        answer = Flow(server, client, is_answer=True)
        request = Flow(client, server, is_answer=False)
        request.blocked = True  # until connected
        self._pairs.append((request, answer))

    def _forward(self, ready: dict[socket.socket, int]) -> None:
        now = time.monotonic()
        for pair in list(self._pairs):
            try:
                for flow in pair:
                    if flow.source in ready and not flow.ended:
                        self._read(flow, now)
                    if flow.sink in ready:
                        flow.blocked = False
                    while not flow.blocked and (due := flow.due()) is not None and due <= now:
                        self._write(flow, now)
            except OSError:  # one side has reset, or never was there: the other one learns it the same way
                self._drop(pair)
            else:
                if all(flow.done for flow in pair):
                    self._drop(pair, politely=True)

    def _read(self, flow: Flow, now: float) -> None:
        if len(flow.waiting) >= FULL:
            return
        try:
            chunk = flow.source.recv(CHUNK)
        except BlockingIOError:  # ready to be written, not read
            return
        flow.ended = not chunk
        flow.waiting.append((now + (self._delay if flow.is_answer else 0), chunk))

    def _write(self, flow: Flow, now: float) -> None:
        due, chunk = flow.waiting.popleft()
        if not chunk:
            flow.sink.shutdown(socket.SHUT_WR)
            flow.done = True
            return
        portion = chunk
        if flow.is_answer and self._rate:
            portion = chunk[: max(1, int(self._rate / 50))]  # fifty turns a second at most
            flow.not_before = now + len(portion) / self._rate
        try:
            sent = flow.sink.send(portion)
        except BlockingIOError:
            sent = 0
        flow.blocked = sent < len(portion)
        if sent < len(chunk):
            flow.waiting.appendleft((due, chunk[sent:]))

    def _stop_listening(self) -> None:
        if self._listener:
            self._listener.close()
            self._listener = None

    def _drop_all(self) -> None:
        for pair in list(self._pairs):
            self._drop(pair)

    def _drop(self, pair: tuple[Flow, Flow], politely: bool = False) -> None:
        self._pairs.remove(pair)
        for side in (pair[0].source, pair[0].sink):
            if not politely:
                with suppress(OSError):
                    side.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RST)
            side.close()


def listen(host: str, port: int) -> socket.socket:
    """Return a socket listening on `port`, or for 0 on one below the ephemeral range (as servers.free_port)."""
    listener = socket.socket()
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listener.bind((host, port or free_port()))
    listener.listen(128)
    listener.setblocking(False)
    return listener


def _poll(wanted: dict[socket.socket, int], timeout: float | None) -> dict[socket.socket, int]:
    """Return which of the `wanted` sockets are ready and for what."""
    poll = select.poll()
    by_number = {}
    for side, events in wanted.items():
        by_number[side.fileno()] = side
        poll.register(side, events)
    # Rounded up: a flow that is due in less than a millisecond would otherwise be polled for in a busy loop.
    milliseconds = None if timeout is None else int(timeout * 1000) + 1
    return {by_number[number]: events for number, events in poll.poll(milliseconds)}
