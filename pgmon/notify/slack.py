"""Slack: an incoming webhook, in blocks."""

from __future__ import annotations

from typing import Any

from pgmon.notify.http import Post
from pgmon.notify.line import SECONDS
from pgmon.notify.notification import Notification, line

SIGNS = {"critical": ":red_circle:", "warning": ":large_yellow_circle:", "resolved": ":large_green_circle:"}
LONGEST = 2900  # of the 3000 characters of a section


class Slack:
    """One message per notification."""

    name = "slack"

    def __init__(self, url: str, block_private: bool, seconds: float = SECONDS) -> None:
        self._post = Post(url, block_private, seconds)

    def deliver(self, notification: Notification) -> str:
        """Send it. Raises DeliveryError."""
        return self._post(payload(notification))


def payload(n: Notification) -> dict[str, Any]:
    """Return the message: what others have named stands in code spans, where Slack reads no markup."""
    title = escaped(n.title)
    lines = [f"• {code(line(alert, n.group))}" for alert in n.shown]
    blocks = [_section(f"{SIGNS[n.severity]} *{title}*"), _section("\n".join([*lines, *([n.more] if n.more else [])]))]
    if n.firing and n.firing[0].paste:
        blocks.append(_section(f"```{_plain(n.firing[0].paste)}```"))
    if n.link:
        blocks.append(_section(f"<{escaped(n.link)}|What it means, and what to do>"))
    return {"text": title, "blocks": blocks}


def _section(text: str) -> dict[str, Any]:
    cut = text if len(text) <= LONGEST else f"{text[:LONGEST].rpartition(chr(10))[0]}\n…"
    return {"type": "section", "text": {"type": "mrkdwn", "text": cut, "verbatim": True}}


def code(text: str) -> str:
    """Return text as a code span.

    >>> code("<!channel> `x` & *y*")
    "`&lt;!channel&gt; 'x' &amp; *y*`"
    """
    return f"`{_plain(text)}`"


def _plain(text: str) -> str:
    return escaped(text.replace("`", "'"))


def escaped(text: str) -> str:
    """Escape what begins mentions and links."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
