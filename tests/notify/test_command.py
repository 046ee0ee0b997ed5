"""`pgmon notify --test`: each channel, what came back, and no secret."""

from __future__ import annotations

from click.testing import CliRunner

from pgmon.cli import main

TOKEN = "T0KEN-nobody-may-see"


def run(**environ: str) -> tuple[int, str]:
    """Return the exit code and everything that was printed."""
    given = {f"PGMON_NOTIFIERS_{name}": value for name, value in environ.items()}
    result = CliRunner().invoke(main, ["notify", "--test"], env={"PGMON_DSN": "", **given})
    assert TOKEN not in result.output
    return result.exit_code, result.output


def test_each_channel_says_what_came_back(httpserver):
    httpserver.expect_request(f"/good/{TOKEN}").respond_with_data(TOKEN)
    httpserver.expect_request(f"/bad/{TOKEN}").respond_with_data(TOKEN, status=403)

    good, bad = (httpserver.url_for(f"/{way}/{TOKEN}") for way in ("good", "bad"))

    assert run(SLACK_WEBHOOK=good) == (0, "slack: sent (HTTP 200)\n")
    assert run(SLACK_WEBHOOK=good, WEBHOOK=bad) == (1, "slack: sent (HTTP 200)\nwebhook: not sent: HTTP 403\n")


def test_the_sample_says_that_nothing_is_wrong(httpserver):
    httpserver.expect_request("/").respond_with_data("")
    run(WEBHOOK=httpserver.url_for("/"))

    [alert] = httpserver.log[0][0].get_json()["alerts"]
    assert "nothing is wrong" in alert["annotations"]["summary"]


def test_without_a_channel_there_is_nothing_to_try():
    code, said = run()

    assert code == 1
    assert "no channel is configured" in said
