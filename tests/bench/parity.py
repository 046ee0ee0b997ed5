"""The same incidents before pgmon's engine and before a real Prometheus and Alertmanager: the same alerts.

    PYTHONPATH=.:tests python tests/bench/parity.py [MAJOR …]

Prometheus has what `pgmon rules` prints for the agent's configuration, with every `for` shortened, as time is pushed
forward here; Alertmanager has examples/alertmanager/alertmanager.yml. The incident lasts until nothing is pending on
either side. Then is compared what fired meanwhile, before anything explains anything, and what explains what.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pytest_httpserver import HTTPServer

from chaos import SIZES, experienced, played, recovers, settle
from duty import Duty
from pgmon.alerts.catalogue import ROOT_CAUSES
from pgmon.alerts.prometheus import prometheus_rules
from pgmon.features import FEATURES
from pgmon.incidents import INCIDENTS
from pgmon.incidents.scene import Incident
from prometheus import Alertmanager, Prometheus
from running import serving
from servers import NEWEST
from watching import eventually

ALERTMANAGER = Path(__file__).parents[2] / "examples" / "alertmanager" / "alertmanager.yml"
INTERVAL = "500ms"
SCALE = 300  # by which `for` is shorter
# A busy machine is none of the incidents, and shortened it would be one.
PATIENT = {"BUDGETS_HOT_PATH": "10s", "BUDGETS_WORKLOAD": "10s", "TIMEOUTS_STATEMENT_TIMEOUT_MS": "10000"}
FOREIGN = {"job", "instance", "feature", "class", "severity", "alertname", "alertstate"}

Found = Mapping[tuple[str, tuple[tuple[str, str], ...]], str]  # alert and labels: severity


def scaled(rules: Any) -> Any:
    """Return a rule file whose alerts need less time."""
    for rule in (rule for group in rules["groups"] for rule in group["rules"]):
        for key in {"for", "keep_firing_for"} & rule.keys():
            rule[key] = f"{int(float(rule[key].removesuffix('s')) / SCALE * 1000)}ms"
    return rules


def gravest(alerts: Iterable[tuple[str, Mapping[str, str], str]]) -> Found:
    """Return the gravest severity of each alert; of what is met at both, Prometheus has two."""
    found: dict[Any, str] = {}
    for name, labels, severity in alerts:
        key = name.removeprefix("Pg"), tuple(sorted((k, v) for k, v in labels.items() if k not in FOREIGN))
        found[key] = min(severity, found.get(key, severity))  # critical < warning
    return found


@dataclass
class Both:
    """An agent on duty, and a Prometheus with an Alertmanager that see what it exports."""

    duty: Duty
    prometheus: Prometheus
    alertmanager: Alertmanager

    def engine(self, since: float) -> Found:
        """Return what has fired in the engine since a time."""
        history = [a for a in self.duty.agent.engine.history if a.started is not None and a.started > since]
        return gravest((a.name, a.labels, a.severity) for a in history)

    def of_prometheus(self, seconds: float) -> Found:
        """Return what has fired in Prometheus in the last seconds."""
        query = f'max_over_time(ALERTS{{alertstate="firing"}}[{int(seconds * 1000)}ms])'
        found = [sample["metric"] for sample in self.prometheus.ask("query", query=query)["result"]]
        return gravest((labels["alertname"], labels, labels["severity"]) for labels in found)

    def of_alertmanager(self, state: str) -> Found:
        """Return what is active in Alertmanager, or suppressed because something explains it."""
        found = [a["labels"] for a in self.alertmanager.alerts() if a["status"]["state"] == state]
        return gravest((labels["alertname"], labels, labels["severity"]) for labels in found)

    def count(self, state: str) -> int:
        """Return how many alerts are pending, or firing, in Prometheus."""
        return int(self.prometheus.value(f'count(ALERTS{{alertstate="{state}"}})') or 0)

    def lasts(self) -> None:
        """Let time pass until nothing is pending any more."""
        give_up = time.monotonic() + 60
        while self.count("pending") or any(a.state == "pending" for a in self.duty.agent.engine.alerts.values()):
            assert time.monotonic() < give_up, [a.message for a in self.duty.agent.engine.alerts.values()]
            self.duty.tick(60)

    def play(self, incident: Incident) -> tuple[Found, Found]:
        """Play an incident; return what fired in the engine and in Prometheus."""
        settle(self.duty, incident)
        eventually(lambda: not self.count("firing") + self.count("pending"), 30)
        began, since = time.monotonic(), self.duty.agent.clock.wall()
        with incident.on(self.duty.server.dsn(dbname="app"), **SIZES.get(incident, {})) as scene:
            played(self.duty, incident, scene)
            self.lasts()
            engine = self.engine(since)
            eventually(lambda: engine.keys() <= self.of_prometheus(time.monotonic() - began).keys(), 20)
            self.explained()
        found = self.of_prometheus(time.monotonic() - began)
        recovers(self.duty, incident)
        return engine, found

    def explained(self) -> None:
        """See that Alertmanager knows what fires, and what of it is explained by something else, processes left out."""
        alerts = [a for a in self.duty.agent.engine.alerts.values() if a.fired]
        told = gravest((a.name, a.labels, a.severity) for a in alerts if a.inhibited_by in ("", *ROOT_CAUSES))
        rest = gravest((a.name, a.labels, a.severity) for a in alerts if a.inhibited_by not in ("", *ROOT_CAUSES))
        eventually(lambda: self.of_alertmanager("active") == told, 20)
        assert rest.keys() <= self.of_alertmanager("suppressed").keys()


@contextmanager
def both(major: int, receiver: HTTPServer) -> Iterator[Both]:
    """Watch a server for more than a day, in which nothing happens, then let Prometheus look, too."""
    with experienced(major, receiver, **PATIENT) as duty, serving(duty.agent, duty.still) as url:
        config = yaml.safe_load(ALERTMANAGER.read_text())
        config["route"] |= {"group_wait": "0s", "group_interval": "1s"}
        rules, port = scaled(prometheus_rules(FEATURES, duty.agent.config)), int(url.rpartition(":")[2])
        with (
            Alertmanager(config) as alertmanager,
            Prometheus({"pgmon": port}, INTERVAL, rules, alertmanager.port) as prometheus,
        ):
            prometheus.wait_for('up{job="pgmon"}', 1)
            duty.after = lambda: scraped(prometheus)
            yield Both(duty, prometheus, alertmanager)


def scraped(prometheus: Prometheus) -> None:
    """Return when Prometheus has looked and judged since."""
    query = 'sum(scrape_samples_scraped{job="pgmon"} * 0 + timestamp(scrape_samples_scraped{job="pgmon"}))'
    before = prometheus.value(query) or 0.0
    eventually(lambda: (prometheus.value(query) or 0.0) > before)


def main() -> None:
    """Print a line for each incident, and what differs."""
    for major in [int(argument) for argument in sys.argv[1:]] or [NEWEST]:
        with HTTPServer("127.0.0.1") as receiver, both(major, receiver) as watched:
            for incident in INCIDENTS:
                engine, found = watched.play(incident)
                names = ", ".join(sorted({f"{severity} {name}" for (name, _), severity in engine.items()}))
                print(f"{major} {incident.name}: {names}", "" if engine == found else f"but Prometheus: {found}")


if __name__ == "__main__":
    main()
