"""A real Prometheus, and its promtool, from Debian's package `prometheus`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import yaml

from servers import free_port


def program(name: str, package: str = "prometheus") -> str:
    """Return the path of a program of a Debian package; otherwise skip the test, or let it fail in CI."""
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        (pytest.fail if os.environ.get("CI") else pytest.skip)(f"{name} is not installed: apt-get install {package}.")
    return found


def promtool(*arguments: str, given: str = "") -> tuple[int, str]:
    """Run promtool; return its exit code and everything that it printed."""
    ended = subprocess.run(
        [program("promtool"), *arguments], input=given, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    return ended.returncode, ended.stdout


class Relay:
    """Passes the scrapes of a target on, with an Accept header of its own if one is given; `answers` are their types.

    Prometheus before 2.49 cannot be told which format to ask for: it asks for OpenMetrics first.
    """

    def __init__(self, port: int, accept: str | None = None) -> None:
        self.answers: list[str] = []
        relay = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                headers = dict(self.headers) | ({"Accept": accept} if accept else {})
                request = urllib.request.Request(f"http://127.0.0.1:{port}{self.path}", headers=headers)
                with urllib.request.urlopen(request, timeout=10) as answer:
                    body = answer.read()
                    self.send_response(answer.status)
                    for name in ("Content-Type", "Content-Encoding"):
                        if value := answer.headers[name]:
                            self.send_header(name, value)
                    relay.answers.append(answer.headers["Content-Type"])
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *arguments: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", free_port()), Handler)
        self.port = self._server.server_port

    def __enter__(self) -> Relay:
        threading.Thread(target=self._server.serve_forever, args=[0.05], daemon=True).start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._server.shutdown()
        self._server.server_close()


class Prometheus:
    """A Prometheus that scrapes the /metrics of some jobs, {name: port}, every second; gone when the context ends.

    With a rule file, as data, it judges by it as often as it scrapes, and tells the Alertmanager of a port.
    """

    def __init__(
        self, jobs: Mapping[str, int], interval: str = "1s", rules: Any = None, alertmanager: int | None = None
    ) -> None:
        self._program, self._port = program("prometheus"), free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="pgmon-prometheus-"))
        targets = [
            {"job_name": name, "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]} for name, port in jobs.items()
        ]
        times = {"scrape_interval": interval, "scrape_timeout": interval, "evaluation_interval": interval}
        config: dict[str, Any] = {"global": times, "scrape_configs": targets}
        if rules:
            (self._folder / "rules.yml").write_text(yaml.safe_dump(rules))
            config["rule_files"] = ["rules.yml"]
        if alertmanager:
            config["alerting"] = {"alertmanagers": [{"static_configs": [{"targets": [f"127.0.0.1:{alertmanager}"]}]}]}
        (self._folder / "prometheus.yml").write_text(yaml.safe_dump(config))

    def __enter__(self) -> Prometheus:
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    self._program,
                    f"--config.file={self._folder}/prometheus.yml",
                    f"--storage.tsdb.path={self._folder}/data",
                    f"--web.listen-address=127.0.0.1:{self._port}",
                ],
                stdout=log,
                stderr=log,
            )
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.terminate()
        self._process.wait(20)
        shutil.rmtree(self._folder)

    def ask(self, path: str, **parameters: str) -> Any:
        """Return the data of an answer of the HTTP API."""
        url = f"http://127.0.0.1:{self._port}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=5) as answer:
            return json.load(answer)["data"]

    def value(self, query: str) -> float | None:
        """Return the one value of an instant query, None when there is none."""
        found = self.ask("query", query=query)["result"]
        assert len(found) <= 1, f"{query}: {found}"
        return float(found[0]["value"][1]) if found else None

    def wait_for(self, query: str, expected: float, within: float = 30.0) -> None:
        """Wait until a query has a value."""
        give_up, got = time.monotonic() + within, None
        while got != expected:
            assert time.monotonic() < give_up, f"{query} is {got} and not {expected}"
            time.sleep(0.1)
            with suppress(urllib.error.URLError):  # it is starting
                got = self.value(query)

    def targets(self) -> dict[str, dict[str, str]]:
        """Return the targets by job: `health`, `lastError` …"""
        return {target["labels"]["job"]: target for target in self.ask("targets")["activeTargets"]}


class Alertmanager:
    """An Alertmanager with a configuration, as data; gone when the context ends."""

    def __init__(self, config: Any) -> None:
        self._program, self.port = program("prometheus-alertmanager", "prometheus-alertmanager"), free_port()
        self._folder = Path(tempfile.mkdtemp(prefix="pgmon-alertmanager-"))
        (self._folder / "alertmanager.yml").write_text(yaml.safe_dump(config))

    def __enter__(self) -> Alertmanager:
        with (self._folder / "log").open("wb") as log:
            self._process = subprocess.Popen(
                [
                    self._program,
                    f"--config.file={self._folder}/alertmanager.yml",
                    f"--storage.path={self._folder}/data",
                    f"--web.listen-address=127.0.0.1:{self.port}",
                    "--cluster.listen-address=",
                ],
                stdout=log,
                stderr=log,
            )
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.terminate()
        self._process.wait(20)
        shutil.rmtree(self._folder)

    def alerts(self) -> list[dict[str, Any]]:
        """Return what is active, each with its labels and its `status`: suppressed, when another one explains it."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v2/alerts", timeout=5) as answer:
            return json.load(answer)
