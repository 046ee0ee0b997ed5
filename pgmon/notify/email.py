"""E-mail, over TLS or not at all."""

from __future__ import annotations

import smtplib
import socket
import ssl
from collections.abc import Mapping
from contextlib import closing, suppress
from email.message import EmailMessage
from email.utils import formatdate, make_msgid, parseaddr
from html import escape
from urllib.parse import SplitResult, parse_qs, unquote, urlsplit

from pgmon.notify.line import SECONDS, Line, reason
from pgmon.notify.notification import DeliveryError, Notification, line
from pgmon.redact import plain

OUR_NAME = "[127.0.0.1]"  # to say EHLO with: what the host is called would be asked of a resolver


class Email:
    """One mail per notification. A recipient that took it is not asked again when another was put off."""

    name = "email"

    def __init__(self, url: str, block_private: bool, seconds: float = SECONDS) -> None:
        self._url, self._block_private, self._seconds = urlsplit(url), block_private, seconds
        query = parse_qs(self._url.query.replace("+", "%2B"))  # which is a space in forms, and a plus in addresses
        self._from = plain(query["from"][0])
        self._to = [plain(to) for value in query["to"] for to in value.split(",")]
        self._served: tuple[Notification | None, set[str]] = (None, set())

    def deliver(self, notification: Notification) -> str:
        """Send it. Raises DeliveryError."""
        if self._served[0] is not notification:
            self._served = notification, set()
        left = [to for to in self._to if to not in self._served[1]]
        with Line(self._block_private, self._seconds) as held:
            try:
                refused = self._send(mail(notification, self._from, self._to), left, held)
            except smtplib.SMTPRecipientsRefused as exc:
                refused = exc.recipients
            except smtplib.SMTPResponseException as exc:
                if held.expired:  # what was cut off is no answer
                    raise DeliveryError(reason(exc, held), again=True) from None
                raise DeliveryError(f"SMTP {exc.smtp_code}", 400 <= exc.smtp_code < 500) from None
            except smtplib.SMTPNotSupportedError:
                raise DeliveryError("the server offers no STARTTLS, or no login", again=False) from None
            except (OSError, smtplib.SMTPException, ValueError) as exc:
                raise DeliveryError(reason(exc, held), again=True) from None
        self._served[1].update(to for to in left if to not in refused)
        self._judge(refused)
        return "SMTP 250"

    def _send(self, message: EmailMessage, to: list[str], held: Line) -> Mapping[str, tuple[int, bytes]]:
        """Return the recipients that were refused, with what the server said."""
        with closing(_Session(self._url, held)) as server:
            if self._url.scheme == "smtp":
                server.starttls(context=ssl.create_default_context())
            if self._url.username:
                server.login(unquote(self._url.username), unquote(self._url.password or ""))
            refused = server.send_message(message, self._from, to)
            with suppress(OSError, smtplib.SMTPException):  # it has the mail: that the goodbye fails changes nothing
                server.quit()
            return refused

    def _judge(self, refused: Mapping[str, tuple[int, bytes]]) -> None:
        if not refused:
            return
        codes = [code for code, _ in refused.values()]
        reason = f"SMTP {max(codes)}: {len(codes)} of {len(self._to)} recipients refused"
        raise DeliveryError(reason, again=any(400 <= code < 500 for code in codes))


class _Session(smtplib.SMTP):
    """A session over a line: the certificate is checked against the name in the URL."""

    def __init__(self, url: SplitResult, held: Line) -> None:
        self._line, self._tls = held, url.scheme == "smtps"
        super().__init__(url.hostname or "", url.port or (465 if self._tls else 587), OUR_NAME, held.seconds)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        sock = self._line.dial(host, port)
        return ssl.create_default_context().wrap_socket(sock, server_hostname=host) if self._tls else sock


def mail(n: Notification, sender: str, to: list[str]) -> EmailMessage:
    """Return a notification as a mail of two parts, text and HTML."""
    message = EmailMessage()
    message["From"], message["To"] = sender, ", ".join(to)
    message["Subject"] = plain(f"[pgmon] {n.title}", 200)
    message["Date"], message["Message-ID"] = formatdate(), make_msgid(domain=parseaddr(sender)[1].rpartition("@")[2])
    message["Auto-Submitted"] = "auto-generated"
    lines = [line(alert, n.group) for alert in n.shown]
    paste = n.firing[0].paste if n.firing else ""
    parts = [n.title, "\n".join(f"- {text}" for text in lines), n.more, paste, n.link]
    message.set_content("\n\n".join(part for part in parts if part) + "\n")
    message.add_alternative(_html(n, lines, paste), subtype="html")
    return message


def _html(n: Notification, lines: list[str], paste: str) -> str:
    items = "".join(f"<li>{escape(text)}</li>" for text in lines)
    return "".join(
        (
            f"<h3>{escape(n.title)}</h3><ul>{items}</ul>",
            f"<p>{escape(n.more)}</p>" if n.more else "",
            f"<pre>{escape(paste)}</pre>" if paste else "",
            f'<p><a href="{escape(n.link)}">What it means, and what to do</a></p>' if n.link else "",
        )
    )
