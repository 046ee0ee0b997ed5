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
from pgmon.alerts.prometheus import prometheus_rules  # noqa: E402
from pgmon.config import Config  # noqa: E402
from pgmon.features import FEATURES  # noqa: E402

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


def made() -> Iterator[tuple[Path, str]]:
    """Yield every file with what it should hold."""
    yield EXAMPLES / "kubernetes" / "base" / "prometheusrule.yaml", prometheus_rule()
    for each in DASHBOARDS:
        text = json.dumps(dashboard(each), indent=2, ensure_ascii=False)
        yield EXAMPLES / "grafana" / "dashboards" / f"{each.uid}.json", f"{text}\n"


if __name__ == "__main__":
    for path, text in made():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
