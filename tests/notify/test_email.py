"""E-mail, to servers with and without TLS, that put off, refuse and hang."""

from __future__ import annotations

import email.policy
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from pgmon.notify.email import Email, mail
from pgmon.notify.notification import DeliveryError, Place
from servers import free_port
from telling import HOSTILE, alert, drip, hang, listening, notification, tried

PASSWORD = "pa55w0rd-nobody-may-see"
SECONDS = 1.0


class Box:
    """Takes mail, unless `answers` has something else to say, in turn, to whom a mail is for."""

    def __init__(self, **answers: list[str]) -> None:
        self.answers, self.mails, self.peers = answers, [], []

    async def handle_RCPT(self, server, session, envelope, address, options) -> str:
        said = self.answers.get(address.partition("@")[0]) or ["250 OK"]
        answer = said.pop(0)
        if answer.startswith("250"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server, session, envelope) -> str:
        self.mails.append((envelope.rcpt_tos, email.message_from_bytes(envelope.content, policy=email.policy.default)))
        self.peers.append(session)
        return "250 OK"


@contextmanager
def serving(box: Box, **settings) -> Iterator[int]:
    """Yield the port of an SMTP server."""
    controller = Controller(box, "localhost", free_port(), **settings)
    controller.start()
    try:
        yield controller.port
    finally:
        controller.stop()


def sender(port: int, to: str = "dba@example.com", scheme: str = "smtp", user: str = "") -> Email:
    return Email(f"{scheme}://{user}localhost:{port}?from=pgmon@example.com&to={to}", False, SECONDS)


def failure(channel: Email, message=None) -> DeliveryError:
    with pytest.raises(DeliveryError) as caught:
        channel.deliver(message or notification())
    assert PASSWORD not in repr(caught.value)
    return caught.value


@pytest.fixture
def box() -> Box:
    return Box()


@pytest.fixture
def port(box, certified, trusted) -> Iterator[int]:
    """Return the port of a server with STARTTLS whose certificate is trusted."""
    with serving(box, tls_context=certified(), require_starttls=True) as listens:
        yield listens


def test_a_mail_has_two_parts_and_says_all(box, port):
    assert sender(port, "dba@example.com,boss@example.com").deliver(notification(base="https://pgmon.example.com"))

    [(to, message)] = box.mails
    assert to == ["dba@example.com", "boss@example.com"]
    assert message["Subject"] == "[pgmon] WARNING Dead on prod (db1, primary)"
    assert (message["From"], message["To"]) == ("pgmon@example.com", "dba@example.com, boss@example.com")
    for part in ("plain", "html"):
        body = message.get_body([part]).get_content()
        for words in ("t is dead", "VACUUM;", "https://pgmon.example.com/alerts/Dead"):
            assert words in body


def test_a_plus_in_an_address_is_a_plus(box, port):
    sender(port, "ops+db@example.com").deliver(notification())

    assert box.mails[0][0] == ["ops+db@example.com"]


def test_a_mail_goes_over_tls(box, port):
    sender(port).deliver(notification())

    assert box.peers[0].ssl is not None


@pytest.mark.fault("F73")
def test_without_starttls_nothing_is_sent(box):
    with serving(box) as port:
        error = failure(sender(port))

    assert (str(error), error.again) == ("the server offers no STARTTLS, or no login", False)
    assert box.mails == []


@pytest.mark.fault("F73")
def test_a_certificate_that_nobody_knows_is_refused(box, certified):
    with serving(box, tls_context=certified()) as port:
        assert str(failure(sender(port))) == "the certificate is not valid, or TLS failed"
    assert box.mails == []


def test_a_certificate_of_another_host_is_refused(box, certified, trusted):
    with serving(box, tls_context=certified("other.example.com")) as port:
        assert str(failure(sender(port))) == "the certificate is not valid, or TLS failed"


def test_smtps_is_tls_from_the_start(box, certified, trusted):
    with serving(box, ssl_context=certified()) as port:
        assert sender(port, scheme="smtps").deliver(notification()) == "SMTP 250"
    assert len(box.mails) == 1


def login(server, session, envelope, mechanism, data) -> AuthResult:
    return AuthResult(success=(data.login, data.password) == (b"bob", PASSWORD.encode()), handled=False)


@pytest.mark.parametrize(("password", "said"), [(PASSWORD, "SMTP 250"), (f"{PASSWORD}%40", "SMTP 535")])
def test_a_user_logs_in(box, certified, trusted, password, said):
    settings = {"tls_context": certified(), "authenticator": login, "auth_required": True}
    with serving(box, **settings) as port:
        channel = sender(port, user=f"bob:{password}@")
        if said == "SMTP 250":
            assert channel.deliver(notification()) == said
        else:
            error = failure(channel)
            assert (str(error), error.again) == (said, False)


@pytest.mark.fault("F73")
def test_a_greylisted_mail_is_taken_later(box, port):
    box.answers = {"dba": ["451 later", "250 OK"]}
    channel, message = sender(port), notification()

    error = failure(channel, message)

    assert (str(error), error.again) == ("SMTP 451: 1 of 1 recipients refused", True)
    assert channel.deliver(message) == "SMTP 250"


def test_a_recipient_that_took_it_gets_it_once(box, port):
    box.answers = {"slow": ["451 later", "250 OK"]}
    channel, message = sender(port, "dba@example.com,slow@example.com"), notification()

    assert failure(channel, message).again
    channel.deliver(message)

    assert [to for to, _ in box.mails] == [["dba@example.com"], ["slow@example.com"]]


@pytest.mark.fault("F73")
def test_a_recipient_that_is_rejected_is_told_and_the_others_get_it(box, port):
    box.answers = {"gone": ["550 no such user"]}
    error = failure(sender(port, "dba@example.com,gone@example.com"))

    assert (str(error), error.again) == ("SMTP 550: 1 of 2 recipients refused", False)
    assert [to for to, _ in box.mails] == [["dba@example.com"]]


@pytest.mark.fault("F73")
@pytest.mark.parametrize("talk", [hang, drip(b"2"), drip(b"220-hello\r\n")])
@pytest.mark.parametrize("scheme", ["smtp", "smtps"])
def test_a_server_that_hangs_or_drips_has_its_time(talk, scheme):
    start = time.monotonic()
    with listening(talk) as port:
        error = failure(sender(port, scheme=scheme))

    assert error.again
    assert time.monotonic() - start < SECONDS + 1


@pytest.mark.fault("F73")
@pytest.mark.parametrize(
    ("answers", "counts", "mails"),
    [
        (["451 later", "451 later", "250 OK"], (1, 0, "SMTP 250"), 1),
        (["451 later"] * 99, (0, 1, "SMTP 451: 1 of 1 recipients refused"), 0),
        (["550 no such user"], (0, 1, "SMTP 550: 1 of 1 recipients refused"), 0),
    ],
    ids=("greylisted", "put off for ever", "rejected"),
)
def test_a_mail_is_sent_or_counted_as_lost_whatever_is_answered(box, port, answers, counts, mails):
    box.answers = {"dba": answers}

    assert tried(sender(port)) == counts
    assert len(box.mails) == mails


@pytest.mark.fault("F73")
def test_a_mail_that_nobody_may_carry_in_the_clear_is_counted_as_lost(box):
    with serving(box) as port:
        assert tried(sender(port)) == (0, 1, "the server offers no STARTTLS, or no login")


def test_a_server_that_is_gone_may_come_back():
    error = failure(sender(free_port()))

    assert (str(error), error.again) == ("Connection refused", True)


@pytest.mark.fault("F72")
def test_metadata_services_are_never_called():
    channel = Email("smtp://169.254.169.254:25?from=a@example.com&to=b@example.com", False, SECONDS)

    assert not failure(channel).again


@pytest.mark.fault("F74", "F80")
def test_names_are_text_in_every_part():
    message = mail(notification(alert(message=HOSTILE)), "pgmon@example.com", ["dba@example.com"])

    assert message["Bcc"] is None
    assert "<b>" not in message.get_body(["html"]).get_content()
    assert "{{7*7}}" in message.get_body(["plain"]).get_content()


@pytest.mark.fault("F74")
def test_a_cluster_cannot_break_the_subject():
    hostile = replace(notification(), place=Place(HOSTILE, "", ""))

    assert "\n" not in mail(hostile, "pgmon@example.com", ["dba@example.com"])["Subject"]
