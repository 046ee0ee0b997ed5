"""A sign of life."""

from __future__ import annotations

from pgmon.notify.http import Post
from pgmon.notify.notification import DeliveryError, Notification


class Heartbeat:
    """Calls a URL, whatever it is given: a dead man's switch."""

    name = "heartbeat"

    def __init__(self, url: str, block_private: bool) -> None:
        self._call = Post(url, block_private)

    def deliver(self, notification: Notification) -> str:
        """Call it. Raises DeliveryError; the next minute is another try."""
        try:
            return self._call(None)
        except DeliveryError as exc:
            raise DeliveryError(str(exc), again=False) from None
