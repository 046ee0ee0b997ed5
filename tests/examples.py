"""The examples that follow from the catalogue: `python tests/examples.py` writes them."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import yaml

EXAMPLES = Path(__file__).parent.parent / "examples"
sys.path[:0] = [str(EXAMPLES.parent), str(Path(__file__).parent)]

from dashboards import DASHBOARDS, dashboard  # noqa: E402
from pgmon.alerts.catalogue import INHIBITIONS  # noqa: E402
from pgmon.alerts.prometheus import prometheus_rules  # noqa: E402
from pgmon.config import Config  # noqa: E402
from pgmon.feature import columns  # noqa: E402
from pgmon.features import FEATURES  # noqa: E402
from pgmon.rule import Inhibition  # noqa: E402

ALERTMANAGER = """\
# Shows what fires on its page; give `receivers` an address to be told. Made by tests/examples.py.
route:
  receiver: page
  group_by: [cluster, alertname]
  group_wait: 30s
  group_interval: 5m
  repeat_interval: 12h

receivers:
  - name: page

# What explains something else, as in pgmon itself; that two alerts are about one process, Alertmanager cannot know.
"""
HEAD = "# The rules of `pgmon rules` for the Prometheus operator; made by tests/examples.py.\n"


def prometheus_rule() -> str:
    """Return the alerting rules, with the default thresholds, as a resource of the Prometheus operator."""
    resource = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": "pgmon", "labels": {"app.kubernetes.io/name": "pgmon"}},
        "spec": prometheus_rules(FEATURES, Config()),
    }
    return HEAD + yaml.safe_dump(resource, sort_keys=False, width=120)


def alertmanager() -> str:
    """Return a configuration of Alertmanager: a critical alert hides the warning, a cause its consequences."""
    labels = {n for f in FEATURES if f.rules for n, c in columns(f.row).items() if c.role == "label"} - {"severity"}
    graver = {
        "source_matchers": ['severity="critical"'],
        "target_matchers": ['severity="warning"'],
        "equal": ["alertname", "cluster", *sorted({"db", *labels})],
    }
    rules = [graver, *(_inhibited(i) for i in INHIBITIONS if not i.same_process)]
    return ALERTMANAGER + yaml.safe_dump({"inhibit_rules": rules}, sort_keys=False, width=120)


def _inhibited(inhibition: Inhibition) -> dict[str, list[str]]:
    over = [f'alertname=~"Pg({"|".join(inhibition.over)})"'] if inhibition.over else ['alertname=~"Pg.+"']
    own = [] if inhibition.over else [f'alertname!="Pg{inhibition.by}"']
    return {
        "source_matchers": [f'alertname="Pg{inhibition.by}"'],
        "target_matchers": over + own,
        "equal": ["cluster"],
    }


def made() -> Iterator[tuple[Path, str]]:
    """Yield every file with what it should hold."""
    yield EXAMPLES / "kubernetes" / "base" / "prometheusrule.yaml", prometheus_rule()
    yield EXAMPLES / "alertmanager" / "alertmanager.yml", alertmanager()
    for each in DASHBOARDS:
        text = json.dumps(dashboard(each), indent=2, ensure_ascii=False)
        yield EXAMPLES / "grafana" / "dashboards" / f"{each.uid}.json", f"{text}\n"


if __name__ == "__main__":
    for path, text in made():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
