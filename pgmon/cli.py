"""The command line."""

from __future__ import annotations

import ctypes
import json
import logging
import os
import signal
import sys
import time
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any

import click
import structlog
import yaml

from pgmon import __version__, check, logs, sqlfiles
from pgmon.agent import Agent
from pgmon.alerts.catalogue import unknown_names
from pgmon.alerts.prometheus import prometheus_rules
from pgmon.config import Config, Loaded, load, require_dsn
from pgmon.dsn import check_dsn
from pgmon.errors import GuardError, PgmonError, StartError
from pgmon.facts import Facts
from pgmon.feature import Tier
from pgmon.features import FEATURES
from pgmon.notify import channels, sample
from pgmon.notify.notification import Channel, DeliveryError, Notification, Place
from pgmon.web import create_app
from pgmon.web.auth import own_token
from pgmon.web.listener import listen

M_ARENA_MAX = -8  # of mallopt(3)

log = structlog.get_logger("pgmon")


class Failing(click.Group):
    """A group whose commands end with the exit code of the error, and its message on standard error."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run the command."""
        try:
            return super().invoke(ctx)
        except PgmonError as exc:
            click.echo(f"pgmon: {exc}", err=True)
            ctx.exit(exc.exit_code)


@click.group(cls=Failing, invoke_without_command=True)
@click.option("--config", "path", type=click.Path(path_type=Path), help="YAML file; PGMON_* variables come on top.")
@click.option(
    "--healthcheck",
    is_flag=False,
    flag_value="live",
    type=click.Choice(["live", "strict"]),
    help="Ask the agent that runs here: exit 1 when it is broken (strict: when /healthz says so).",
)
@click.version_option(__version__, prog_name="pgmon")
@click.pass_context
def main(ctx: click.Context, path: Path | None, healthcheck: str | None) -> None:
    """Watch a PostgreSQL server: serve /metrics and pages. Reads only, and refuses a role that can write."""
    ctx.obj = path
    if healthcheck:
        ctx.exit(_ask_health(load(path, os.environ).config, "/healthz" if healthcheck == "strict" else "/livez"))
    if ctx.invoked_subcommand is None:
        _end(ctx, serve(_usable(load(path, os.environ)), path))


def _usable(loaded: Loaded) -> Config:
    """Return a configuration that can connect. Raises ConfigError."""
    config = loaded.config
    require_dsn(config)
    check_dsn(config.dsn.get_secret_value(), config.security.require_tls)
    logs.configure(config.logging.level, config.logging.format)
    for warning in loaded.warnings:
        log.warning("configuration", problem=warning)
    for name in unknown_names(FEATURES, config.alerts):
        log.warning("configuration", problem=f"alerts: there is no alert {name}")
    return config


def serve(config: Config, path: Path | None = None) -> int | None:
    """Serve until a signal or the guard ends it; return the exit code, None to start anew (SIGHUP)."""
    one_heap()
    agent = Agent(config)
    server = listen(create_app(agent), config.http)  # before the first byte to the database
    signals: list[int] = []
    _end_loop_on(signals, path)
    log.info("serving", bind=config.http.bind, version=__version__, cluster=config.cluster)
    with suppress(SystemExit):  # a signal may come before the loop that swallows it
        agent.start()
        server.run()  # its end waits for the requests under way, at most 5 s
    server.close()
    agent.close()
    log.info("stopped")
    return None if signals[-1:] == [signal.SIGHUP] else agent.exit_code or 0


def one_heap() -> None:
    """Let all threads share a heap: of its own each would keep what it once needed, together 10 MB."""
    with suppress(AttributeError, OSError):  # only glibc has that
        ctypes.CDLL(None).mallopt(M_ARENA_MAX, 1)


def _end(ctx: click.Context, exit_code: int | None) -> None:
    """End the process, or replace it by one that reads the configuration anew: same pid, every key reloaded."""
    if exit_code is not None:
        ctx.exit(exit_code)
    sys.stdout.flush()
    logging.shutdown()
    # What runs is this very program, with the arguments it has.
    os.execv(sys.executable, [sys.executable, "-m", "pgmon", *sys.argv[1:]])  # nosec B606


def _end_loop_on(signals: list[int], path: Path | None) -> None:
    """End waitress's loop on SIGTERM and SIGINT, as PID 1 too, and on SIGHUP when the configuration is good."""

    def end(number: int, _frame: object) -> None:
        if number != signal.SIGHUP or _reloadable(path):
            signals.append(number)
            raise SystemExit

    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, end)


def _reloadable(path: Path | None) -> bool:
    """Tell whether the configuration as it is now can be used; a faulty one changes nothing."""
    try:
        config = load(path, os.environ).config
        require_dsn(config)
        check_dsn(config.dsn.get_secret_value(), config.security.require_tls)
    except PgmonError as exc:
        log.error("the new configuration is not used", faults=str(exc))
        return False
    return True


def _ask_health(config: Config, path: str) -> int:
    """Return 0 when the agent of this machine answers 200, else 1."""
    import urllib.request
    from http.client import HTTPException

    host, port = config.http.address
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    url = f"http://[{host}]:{port}{path}" if ":" in host else f"http://{host}:{port}{path}"
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {own_token(config)}"})
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=2):
            return 0
    except (OSError, HTTPException) as exc:  # every status from 400 on is one
        click.echo(f"pgmon: {exc}", err=True)
        return 1


@main.command("check")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@click.pass_obj
def run_check(path: Path | None, as_json: bool) -> None:
    """Check the configuration, connect, judge the role, and print what would run."""
    agent = Agent(_usable(load(path, os.environ, strict=True)))
    try:
        found = check.report(agent)
        click.echo(json.dumps(found, indent=2, ensure_ascii=False) if as_json else "\n".join(check.text(found)))
        if agent.guard.is_refused:
            raise GuardError(f"the role can write ({len(agent.guard.refusals)} findings): pgmon would refuse to run")
    finally:
        agent.door.close()


@main.command()
@click.argument("name", required=False, metavar="[ID]")
@click.option("--server-version", type=click.IntRange(12), help="Of this major version, without connecting.")
@click.pass_obj
def sql(path: Path | None, name: str | None, server_version: int | None) -> None:
    """Print the statements for the connected server, or for a version."""
    facts = sqlfiles.assumed(server_version) if server_version else _connected_facts(path)
    names = [f.name for f in FEATURES if f.of is None and f.tier is not Tier.AGENT]
    if name and name not in names:
        raise click.BadParameter(f"there is {', '.join(names)}", param_hint="ID")
    for each in [name] if name else names:
        verdict = check.verdict(each, facts)
        click.echo(f"{sqlfiles.usable(each, facts)};\n" if verdict == "ok" else f"-- {each}: {verdict}\n")


def _connected_facts(path: Path | None) -> Facts:
    agent = Agent(_usable(load(path, os.environ)))
    try:
        facts = check.judged(agent)
        if agent.guard.is_refused:
            raise GuardError(agent.guard.verdict)
    finally:
        agent.door.close()
    return facts


@main.command("demo")
@click.option("--incidents/--no-incidents", default=True, help="Let things go wrong, or watch a healthy server.")
@click.pass_context
def run_demo(ctx: click.Context, incidents: bool) -> None:
    """Start a PostgreSQL of its own with a small live load, and watch it until Ctrl-C."""
    from pgmon import demo

    # A file says itself how often is read; variables of the demo would come on top of it.
    intervals = demo.INTERVALS if ctx.obj is None else {}
    with demo.server() as started, demo.troubled(started) if incidents else nullcontext():
        config = _usable(load(ctx.obj, {**intervals, **os.environ, "PGMON_DSN": started.dsn}))
        log.info("demo", postgresql=started.version, page=f"http://127.0.0.1:{config.http.address[1]}/")
        exit_code = serve(config, ctx.obj)
    _end(ctx, exit_code)


@main.command()
@click.option("--test", is_flag=True, required=True, help="Send a sample that says that nothing is wrong.")
@click.pass_context
def notify(ctx: click.Context, test: bool) -> None:
    """Send a sample through each configured channel and tell what came back; exit 1 when one did not take it."""
    config = load(ctx.obj, os.environ).config
    ways = channels(config.notifiers)
    if not ways:
        raise StartError(
            "no channel is configured: set notifiers.slack_webhook, notifiers.email_smtp or notifiers.webhook"
        )
    said = {
        way.name: _sent(way, sample(Place(config.cluster, "", ""), config.http.external_url, time.time()))
        for way in ways
    }
    for name, (_, words) in said.items():
        click.echo(f"{name}: {words}")
    ctx.exit(0 if all(good for good, _ in said.values()) else 1)


def _sent(channel: Channel, notification: Notification) -> tuple[bool, str]:
    try:
        return True, f"sent ({channel.deliver(notification)})"
    except DeliveryError as exc:
        return False, f"not sent: {exc}"


@main.command()
@click.pass_obj
def rules(path: Path | None) -> None:
    """Print the alerting rules for Prometheus, with the thresholds of the configuration."""
    config = load(path, os.environ).config
    click.echo(yaml.safe_dump(prometheus_rules(FEATURES, config), sort_keys=False, width=120), nl=False)
