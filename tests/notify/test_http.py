"""Slack and webhooks, to receivers that answer well, badly, slowly or not at all."""

from __future__ import annotations

import time

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Response

from pgmon.notify.heartbeat import Heartbeat
from pgmon.notify.notification import DeliveryError
from pgmon.notify.slack import Slack
from pgmon.notify.webhook import Webhook, payload
from servers import free_port
from telling import HOSTILE, alert, drip, hang, listening, notification, tried

TOKEN = "T0KEN-nobody-may-see"
SECONDS = 0.5


def failed(url: str, **settings) -> DeliveryError:
    """Return the error of a delivery to a URL, which never names it."""
    with pytest.raises(DeliveryError) as caught:
        Webhook(url, settings.get("block_private", False), SECONDS).deliver(notification())
    assert TOKEN not in repr(caught.value)
    assert caught.value.__cause__ is None
    return caught.value


def received(httpserver: HTTPServer, kind=Webhook, **message):
    """Return what a receiver got."""
    httpserver.expect_request("/hook", method="POST").respond_with_data("ok")
    firing = message.pop("firing", ())
    assert kind(httpserver.url_for("/hook"), False).deliver(notification(*firing, **message)) == "HTTP 200"
    [(request, _)] = httpserver.log
    return request.get_json()


# --- what is sent -----------------------------------------------------------------------------------------------------


def test_slack_gets_a_title_a_line_per_alert_what_to_paste_and_a_link(httpserver):
    message = received(httpserver, Slack, base="https://pgmon.example.com")

    texts = [block["text"]["text"] for block in message["blocks"]]
    assert message["text"] == "WARNING Dead on prod (db1, primary)"
    assert texts == [
        ":large_yellow_circle: *WARNING Dead on prod (db1, primary)*",
        "• `[app]: t is dead`",
        "```VACUUM;```",
        "<https://pgmon.example.com/alerts/Dead|What it means, and what to do>",
    ]


def test_slack_hears_of_the_end(httpserver):
    message = received(httpserver, Slack, resolved=(alert(state="resolved", ended=9.0),))

    assert message["blocks"][0]["text"]["text"].startswith(":large_green_circle: *RESOLVED Dead")
    assert message["blocks"][1]["text"]["text"] == "• `resolved: [app]: t is dead`"


def slack_of(httpserver, *alerts):
    httpserver.expect_request("/hook").respond_with_data("ok")
    Slack(httpserver.url_for("/hook"), False).deliver(notification(*alerts))
    return httpserver.log[0][0].get_json()


@pytest.mark.fault("F74", "F80")
def test_slack_reads_names_as_text(httpserver):
    text = slack_of(httpserver, alert(message=HOSTILE))["blocks"][1]["text"]["text"]

    assert "<" not in text
    assert "&lt;!channel&gt; {{7*7}} 'x' *y* &amp; &lt;b&gt;" in text
    assert (text.count("`"), text.index("`"), text.rindex("`")) == (2, 2, len(text) - 1)


@pytest.mark.fault("F76")
def test_slack_counts_what_it_does_not_list(httpserver):
    many = slack_of(httpserver, *(alert(of=f"{'t' * 600}{n}") for n in range(500)))

    assert many["blocks"][1]["text"]["text"].endswith(("and 490 more", "…"))
    assert all(len(block["text"]["text"]) <= 3000 for block in many["blocks"])


def test_a_webhook_gets_the_payload_of_alertmanager(httpserver):
    message = received(httpserver, base="https://pgmon.example.com/")

    [told] = message.pop("alerts")
    labels = {"alertname": "Dead", "severity": "warning", "cluster": "prod", "db": "app", "relation": "t"}
    assert message == {
        "version": "4",
        "groupKey": '{}:{"alertname": "Dead"}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "pgmon",
        "groupLabels": {"alertname": "Dead"},
        "commonLabels": labels,
        "commonAnnotations": told["annotations"],
        "externalURL": "https://pgmon.example.com/",
    }
    assert (told["status"], told["labels"], told["annotations"]["summary"]) == ("firing", labels, "t is dead")
    assert (told["startsAt"], told["endsAt"]) == ("1970-01-01T00:00:02Z", "0001-01-01T00:00:00Z")
    assert told["annotations"]["runbook_url"] == "https://pgmon.example.com/alerts/Dead"


@pytest.mark.fault("F74", "F80")
def test_a_webhook_reads_names_as_they_are(httpserver):
    [told] = received(httpserver, firing=[alert(message=HOSTILE)])["alerts"]

    assert told["annotations"]["summary"] == HOSTILE


def test_a_webhook_hears_of_the_end(httpserver):
    message = received(httpserver, resolved=(alert(state="resolved", ended=9.0),))

    assert (message["status"], message["alerts"][0]["status"]) == ("resolved", "resolved")
    assert message["alerts"][0]["endsAt"] == "1970-01-01T00:00:09Z"


def test_no_label_of_a_row_passes_for_the_severity_of_its_alert():
    [told] = payload(notification(alert(severity="critical", labels={"severity": "refuse"})))["alerts"]

    assert told["labels"]["severity"] == "critical"


def test_the_fingerprint_is_that_of_the_labels_whatever_the_severity():
    first, later, other = (
        payload(notification(a))["alerts"][0]["fingerprint"]
        for a in (alert(), alert(severity="critical", started=9.0), alert(of="u"))
    )
    assert first == later != other


def test_a_user_in_the_url_logs_in_and_is_not_in_the_path(httpserver):
    httpserver.expect_request("/hook", headers={"Authorization": "Basic Ym9iOnB3"}).respond_with_data("ok")
    url = httpserver.url_for("/hook").replace("http://", "http://bob:pw@")

    assert Webhook(url, False).deliver(notification()) == "HTTP 200"


def test_a_sign_of_life_is_a_get(httpserver):
    httpserver.expect_request("/ping", method="GET").respond_with_data("ok")

    assert Heartbeat(httpserver.url_for("/ping"), False).deliver(notification()) == "HTTP 200"


def test_the_environments_proxy_is_not_asked(httpserver, monkeypatch):
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, f"http://127.0.0.1:{free_port()}")

    received(httpserver)


# --- what is answered -------------------------------------------------------------------------------------------------


@pytest.mark.fault("F68")
@pytest.mark.parametrize(
    ("status", "again"), [(500, True), (503, True), (429, True), (408, True), (400, False), (403, False), (404, False)]
)
def test_a_status_says_whether_to_try_again(httpserver, status, again):
    httpserver.expect_request("/").respond_with_data(TOKEN, status=status)

    error = failed(httpserver.url_for("/"))

    assert (str(error), error.again, error.after) == (f"HTTP {status}", again, 0.0)


@pytest.mark.fault("F69")
def test_a_receiver_says_when_to_try_again(httpserver):
    httpserver.expect_request("/").respond_with_data("", status=429, headers={"Retry-After": "120"})

    assert failed(httpserver.url_for("/")).after == 120.0


@pytest.mark.fault("F70")
def test_a_redirect_is_not_followed(httpserver):
    target = httpserver.url_for("/elsewhere")
    httpserver.expect_request("/").respond_with_data("", status=302, headers={"Location": target})

    error = failed(httpserver.url_for("/"))

    assert (str(error), error.again) == ("HTTP 302", False)
    assert [request.path for request, _ in httpserver.log] == ["/"]


@pytest.mark.fault("F71")
@pytest.mark.parametrize("talk", [hang, drip(b"HTTP/1.1 "), drip(b"X"), drip(b"HTTP/1.1 200 OK\r\n"[:17])])
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_receiver_that_hangs_or_drips_has_its_time(talk, scheme):
    start = time.monotonic()
    with listening(talk) as port:
        error = failed(f"{scheme}://127.0.0.1:{port}/{TOKEN}")

    assert error.again
    assert time.monotonic() - start < SECONDS + 1


@pytest.mark.fault("F71")
def test_a_drip_is_ended_by_the_clock():
    def endless(client, ended):
        client.sendall(b"HTTP/1.1 200 OK\r\n")
        drip(b"X-A: b\r\n")(client, ended)

    with listening(endless) as port:
        assert str(failed(f"http://127.0.0.1:{port}/")) == "no answer within 0.5 s"


@pytest.mark.fault("F71")
def test_a_long_body_is_left_alone():
    def endless(client, ended):
        client.recv(65536)
        client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        drip(b"x")(client, ended)

    start = time.monotonic()
    with listening(endless) as port:
        assert Webhook(f"http://127.0.0.1:{port}/", False, 5).deliver(notification()) == "HTTP 200"
    assert time.monotonic() - start < 2


@pytest.mark.fault("F68")
def test_a_receiver_that_is_gone_may_come_back():
    error = failed(f"http://127.0.0.1:{free_port()}/{TOKEN}")

    assert (str(error), error.again) == ("Connection refused", True)


PATIENT = Response(status=429, headers={"Retry-After": "120"})


@pytest.mark.fault("F68", "F69", "F70")
@pytest.mark.parametrize(
    ("answers", "counts"),
    [
        ([Response(status=500)] * 99, (0, 1, "HTTP 500")),
        ([Response(status=500)] * 3, (1, 0, "HTTP 200")),
        ([PATIENT], (1, 0, "HTTP 200")),
        ([Response(status=302, headers={"Location": "/elsewhere"})], (0, 1, "HTTP 302")),
    ],
    ids=("500 for ever", "500 for a while", "429", "302"),
)
def test_a_message_is_sent_or_counted_as_lost_whatever_is_answered(httpserver, answers, counts):
    httpserver.expect_request("/").respond_with_handler(lambda _: answers.pop() if answers else Response())

    assert tried(Webhook(httpserver.url_for("/"), False)) == counts


@pytest.mark.fault("F68", "F71")
def test_a_message_to_who_is_gone_or_hangs_is_counted_as_lost():
    assert tried(Webhook(f"http://127.0.0.1:{free_port()}/", False)) == (0, 1, "Connection refused")
    for talk in (hang, drip(b"HTTP/1.1 ")):
        with listening(talk) as port:
            assert tried(Webhook(f"http://127.0.0.1:{port}/", False, 0.1)) == (0, 1, "no answer within 0.1 s")


@pytest.mark.fault("F68")
def test_a_name_that_nobody_knows_may_be_known_later():
    assert failed(f"http://nobody.invalid/{TOKEN}").again


# --- TLS --------------------------------------------------------------------------------------------------------------


@pytest.fixture
def secure(certified):
    """Return a function that starts an HTTPS server whose certificate is for a name."""
    started = []

    def start(name: str) -> str:
        server = HTTPServer(host="localhost", port=0, ssl_context=certified(name))
        server.start()
        started.append(server)
        server.expect_request("/").respond_with_data("ok")
        return server.url_for("/")

    yield start
    for server in started:
        server.clear()
        server.stop()


def test_a_certificate_of_a_known_authority_is_accepted(trusted, secure):
    assert Webhook(secure("localhost"), False).deliver(notification()) == "HTTP 200"


@pytest.mark.fault("F68")
def test_a_certificate_of_another_authority_is_refused(secure):
    assert str(failed(secure("localhost"))) == "the certificate is not valid, or TLS failed"


def test_a_certificate_of_another_host_is_refused(trusted, secure):
    assert str(failed(secure("other.example.com"))) == "the certificate is not valid, or TLS failed"


# --- where nothing is sent --------------------------------------------------------------------------------------------


@pytest.mark.fault("F72")
@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "2852039166",
        "0xA9FEA9FE",
        "[::ffff:169.254.169.254]",
        "[64:ff9b::a9fe:a9fe]",
        "[2002:a9fe:a9fe::1]",
        "[fd00:ec2::254]",
        "[fe80::1]",
        "100.100.100.200",
        "168.63.129.16",
        "0.0.0.0",
        "224.0.0.1",
    ],
)
def test_services_that_hand_out_credentials_are_never_called(host):
    error = failed(f"http://{host}/latest/meta-data/{TOKEN}")

    assert (str(error), error.again) == ("an address of a metadata service is never called", False)


@pytest.mark.fault("F72")
def test_private_addresses_are_called_unless_blocked(httpserver):
    received(httpserver)

    error = failed(httpserver.url_for("/hook"), block_private=True)

    assert str(error) == "private addresses are blocked (notifiers.block_private)"
    assert len(httpserver.log) == 1
