"""Grafana's dashboards, made of the catalogue: an overview, and one per subject with every metric that it has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from inspect import getdoc
from typing import Any

from pgmon.feature import Column, Feature, columns
from pgmon.features import FEATURES

SELECTOR = {name: f"${name}" for name in ("job", "instance", "cluster")}
WIDTH, HEIGHT, ACROSS = 8, 7, 3  # of a panel, in a grid of 24 columns
MOST = 10  # lines of a panel whose series are many
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
# By unit; of a counter what its growth per second is. Seconds per second are a number: of sessions, of workers.
UNITS = {"": "short", "seconds": "s", "bytes": "bytes", "ratio": "percentunit"}
RATES = {"": "cps", "seconds": "short", "bytes": "Bps", "ratio": "short"}


@dataclass(frozen=True, slots=True)
class Dashboard:
    """What a dashboard shows: metrics by the title of the row in which they are."""

    uid: str
    title: str
    description: str
    rows: Mapping[str, Sequence[str]]


@dataclass(frozen=True, slots=True)
class Metric:
    """A column that is exported, and the labels by which its samples differ."""

    column: Column
    labels: tuple[str, ...]

    @property
    def own(self) -> bool:
        """Whether it is the agent's, which has no database."""
        return self.column.metric.startswith("pgmon_") and "db" not in self.labels

    @property
    def expression(self) -> str:
        """What a panel asks: a counter's growth per second, everything else as it is; of many series the greatest."""
        selector = SELECTOR if self.own else SELECTOR | {"db": "$db"}
        asked = self.column.metric + "{" + ",".join(f'{name}=~"{text}"' for name, text in selector.items()) + "}"
        if self.column.role == "counter":
            asked = f"rate({asked}[$__rate_interval])"
        if self.is_moment:
            asked = f"{asked} * 1000"
        return f"topk({MOST}, {asked})" if set(self.labels) - {"db"} else asked

    @property
    def is_moment(self) -> bool:
        """Whether it is a time since 1970."""
        return self.column.metric.endswith("_timestamp_seconds") or self.column.metric == "pg_start_time_seconds"

    @property
    def unit(self) -> str:
        """Grafana's name of the unit."""
        if self.is_moment:
            return "dateTimeFromNow"
        if self.column.metric.endswith("_pct_dead"):
            return "percent"
        return (RATES if self.column.role == "counter" else UNITS)[self.column.unit]


def _metrics() -> Iterator[tuple[str, Metric]]:
    for feature in FEATURES:
        found = columns(feature.row)
        labels = tuple(name for name, column in found.items() if column.role == "label")
        for column in found.values():
            if column.metric:
                yield column.metric, Metric(column, labels)


METRICS = dict(_metrics())

OVERVIEW = {
    "Is it well?": ["pg_up", "pg_in_recovery", "pgmon_loop_on_schedule", "pgmon_alerts", "pgmon_privilege_findings"],
    "Who is there?": [
        "pg_connections_used_ratio",
        "pg_connections_by_state",
        "pg_waiting_sessions",
        "pg_blocked_sessions",
        "pg_longest_transaction_seconds",
        "pg_longest_idle_in_transaction_seconds",
    ],
    "What is done?": [
        "pg_tps",
        "pg_qps",
        "pg_query_latency_seconds_mean",
        "pg_query_latency_seconds_p95",
        "pg_xact_rollback_total",
        "pg_deadlocks_total",
        "pg_blks_read_total",
        "pg_temp_bytes_total",
        "pg_wal_bytes_written_total",
    ],
    "Is it safe?": [
        "pg_replication_lag_seconds",
        "pg_replication_slot_retained_bytes",
        "pg_archive_failed_total",
        "pg_oldest_xmin_age",
        "pg_wraparound_tx_age",
        "pg_partition_runway_seconds",
    ],
    "What grows?": ["pg_database_size_bytes", "pg_relation_size_bytes", "pg_table_dead_tuples"],
}
SUBJECTS = {  # by the panel on which pgmon has them
    "overview": ("workload", "Transactions, WAL, checkpoints, reads and writes, temporary files"),
    "activity": ("activity", "Sessions, locks and transactions"),
    "queries": ("queries", "The statements of pg_stat_statements"),
    "replication": ("replication", "Standbys, slots, archive and subscriptions"),
    "autovacuum": ("autovacuum", "Dead rows, statistics, waste and transaction ids"),
    "storage": ("storage", "Databases, tables and indexes"),
    "partitions": ("partitions", "Until when partitions last, gaps and retention"),
    "status": ("agent", "pgmon itself"),
    "alerts": ("alerts", "Alerts of pgmon's own engine, and whether they were told"),
}


def _rows(panel: str) -> dict[str, list[str]]:
    """Return the metrics of a subject, a row for each feature that has some."""
    return {
        _sentence(feature): found
        for feature in FEATURES
        if (feature.panel or "status") == panel
        and (found := [column.metric for column in columns(feature.row).values() if column.metric])
    }


def _sentence(feature: Feature[Any, Any]) -> str:
    return (getdoc(feature.row) or feature.name).split("\n\n")[0].replace("\n", " ").rstrip(".")


def _dashboards() -> Iterator[Dashboard]:
    yield Dashboard("pgmon-overview", "PostgreSQL", "One server at a glance", OVERVIEW)
    for panel in sorted({feature.panel or "status" for feature in FEATURES if METRICS}):
        name, description = SUBJECTS.get(panel, (panel, panel.capitalize()))
        if rows := _rows(panel):
            yield Dashboard(f"pgmon-{name}", f"PostgreSQL {name}", description, rows)


DASHBOARDS = tuple(_dashboards())


def dashboard(shown: Dashboard) -> dict[str, Any]:
    """Return a dashboard in Grafana's classic JSON."""
    return {
        "uid": shown.uid,
        "title": shown.title,
        "description": shown.description,
        "tags": ["pgmon", "postgresql"],
        "schemaVersion": 39,
        "editable": False,
        "graphTooltip": 1,
        "refresh": "30s",
        "time": {"from": "now-1h", "to": "now"},
        "timezone": "browser",
        "links": [{"type": "dashboards", "title": "pgmon", "tags": ["pgmon"], "asDropdown": True, "keepTime": True}],
        "templating": {"list": list(_variables())},
        "annotations": {"list": []},
        "panels": list(_panels(shown.rows)),
    }


def _variables() -> Iterator[dict[str, Any]]:
    yield {"name": "datasource", "label": "Data source", "type": "datasource", "query": "prometheus"}
    of = "pgmon_build_info"
    for name, earlier in (("job", ""), ("instance", "job"), ("cluster", "job,instance")):
        yield _variable(name, f"label_values({of}{_matching(earlier)}, {name})")
    yield _variable("db", f"label_values(pg_xact_commit_total{_matching('job,instance,cluster')}, db)")


def _matching(names: str) -> str:
    return "{" + ",".join(f'{name}=~"${name}"' for name in names.split(",")) + "}" if names else ""


def _variable(name: str, query: str) -> dict[str, Any]:
    return {
        "name": name,
        "label": name.capitalize(),
        "type": "query",
        "datasource": SOURCE,
        "query": {"query": query, "refId": name},
        "refresh": 2,  # when the time range changes
        "sort": 1,
        "multi": True,
        "includeAll": True,
        "allValue": ".+",
        "current": {"text": "All", "value": "$__all"},
    }


def _panels(rows: Mapping[str, Sequence[str]]) -> Iterator[dict[str, Any]]:
    """Yield the rows and their panels, each at its place."""
    y, number = 0, 0
    for title, names in rows.items():
        number += 1
        grid = {"x": 0, "y": y, "w": WIDTH * ACROSS, "h": 1}
        yield {"id": number, "type": "row", "title": title, "collapsed": False, "gridPos": grid, "panels": []}
        y += 1
        for nth, name in enumerate(names):
            number += 1
            grid = {"x": nth % ACROSS * WIDTH, "y": y + nth // ACROSS * HEIGHT, "w": WIDTH, "h": HEIGHT}
            yield {"id": number, "gridPos": grid, **_panel(METRICS[name])}
        y += -(-len(names) // ACROSS) * HEIGHT


def _panel(metric: Metric) -> dict[str, Any]:
    is_info = metric.column.metric.endswith("_info")
    target = {"refId": "A", "datasource": SOURCE, "expr": metric.expression, "legendFormat": _legend(metric)}
    return {
        "type": "table" if is_info else "stat" if metric.is_moment else "timeseries",
        "title": _title(metric),
        "description": f"{metric.column.help} ({metric.column.metric})",
        "datasource": SOURCE,
        "targets": [target | ({"instant": True, "format": "table"} if is_info else {})],
        "fieldConfig": {"defaults": {"unit": metric.unit, "min": 0}, "overrides": []},
        "options": {},
    }


def _title(metric: Metric) -> str:
    """Return a metric's name as words, without what the unit says.

    >>> _title(METRICS["pg_temp_bytes_total"])
    'Temp bytes per second'
    """
    name = metric.column.metric.split("_", 1)[1].removesuffix("_total").replace("_", " ")
    return name[:1].upper() + name[1:] + (" per second" if metric.column.role == "counter" else "")


def _legend(metric: Metric) -> str:
    shown = [*([] if metric.own or "db" in metric.labels else ["db"]), *metric.labels]
    return " ".join(f"{{{{{name}}}}}" for name in ("cluster", *shown))
