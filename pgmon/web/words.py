"""The words of the pages: titles of panels, what an empty one says, and the columns that come first."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from markupsafe import Markup, escape

PAGES: Mapping[str, str] = {
    "overview": "Overview",
    "autovacuum": "Autovacuum",
    "queries": "Queries",
    "storage": "Storage",
    "partitions": "Partitions",
    "replication": "Replication",
    "activity": "Activity",
    "alerts": "Alerts",
    "sql": "SQL",
    "status": "Status",
}
TWINS: Mapping[str, str] = {"queries": "top-queries"}  # the API's name of a page, where the specification has another

# Tabs of a page, each with its panels; the first is shown first. What is in none is above them.
LENSES: Mapping[str, Mapping[str, tuple[str, Sequence[str]]]] = {
    "autovacuum": {
        "dead": ("Dead rows", ("tuples", "autovacuum_due")),
        "freezing": ("Freezing", ("wraparound", "wraparound_limits", "freeze")),
        "freshness": ("Freshness", ("stale_stats", "freshness")),
    },
}

TITLES: Mapping[str, str] = {
    "connections_by_state": "Sessions",
    "waiting_sessions": "Waiting for",
    "locks": "Locks",
    "blocking": "Blocking tree",
    "sessions": "Sessions in a transaction",
    "prepared": "Prepared transactions",
    "xmin": "Why vacuum cannot clean",
    "autovacuum": "Workers",
    "autovacuum_phases": "Workers by phase",
    "vacuum_jobs": "Running now",
    "temp": "Temporary files",
    "temp_files": "Who has temporary files",
    "throughput": "Databases",
    "statements": "Top queries",
    "statement_texts": "Texts",
    "statements_health": "Entries of pg_stat_statements",
    "latency": "Latency",
    "cost": "What pgmon costs",
    "wal": "WAL",
    "io": "I/O",
    "replicas": "Standbys",
    "replica_states": "Standbys by state",
    "sync_states": "Synchronous state",
    "slots": "Replication slots",
    "slot_status": "WAL of the slots",
    "standby": "This standby",
    "freshness": "Last vacuum and analyze",
    "canary_select": "SELECT 1",
    "canary_explain": "A small plan",
    "privileges": "What the role may do",
    "tuples": "Dead rows",
    "held_back": "Held back",
    "autovacuum_due": "What autovacuum is due to do",
    "wraparound": "Wraparound",
    "wraparound_limits": "Until which limit",
    "freeze": "Oldest tables",
    "stale_stats": "Stale statistics",
    "sizes": "Tables",
    "partitioned_sizes": "Partitioned tables",
    "database_size": "Databases",
    "indexes": "Indexes",
    "index_verdicts": "Indexes to look at",
    "relations": "Tables that are looked at",
    "bloat": "Wasted space",
    "bloat_methods": "How it is known",
    "sequences": "Sequences",
    "familiar_replicas": "Standbys of late",
    "expected_replicas": "Standbys that are expected",
    "subscription_errors_recent": "Subscriptions that fail",
    "subscription_errors": "Errors of subscriptions",
    "database_faults": "Faults",
    "sequences_unreadable": "Sequences that cannot be read",
    "collations": "Collations",
    "grants": "What it may do in each database",
    "findings": "Findings",
    "coverage": "Coverage",
    "down": "Unreachable",
    "up": "Reachable",
}
WHY: Mapping[str, str] = {
    "sizes": "The largest tables and materialized views, by their size without indexes. The bar has the indexes, too.",
    "blocking": "Who waits for whom, by pg_blocking_pids(). A root waits for nobody: look there first, ending a waiter "
    "changes nothing.",
    "xmin": "Rows that died after the oldest xmin stay. The holder furthest back decides; freeing the others changes "
    "nothing.",
    "connections_by_state": "Client sessions by state, all databases. The mark is the limit of ConnectionSaturation.",
    "partitions": "One bar per partition, as tall as its rows. Outlined: made ahead, still empty. Hatched: none. "
    "Tick: how far ahead there has to be one.",
    "statements": "Share of the execution time since the previous reading. Literals are withheld before it is kept.",
}
NONE: Mapping[str, str] = {
    "blocking": "Nobody waits for a lock.",
    "sessions": "No client session is in a transaction.",
    "vacuum_jobs": "Nothing vacuums or analyzes now.",
    "temp_files": "Nobody has a temporary file.",
    "replicas": "No standby is connected.",
    "sync_states": "No standby is connected.",
    "slots": "There is no replication slot: none keeps WAL back.",
    "slot_status": "There is no replication slot.",
    "subscriptions": "This database subscribes to nothing.",
    "subscription_errors": "No subscription has failed.",
    "subscription_errors_recent": "No subscription fails.",
    "familiar_replicas": "No standby was connected for ten minutes.",
    "degraded": "Nothing limits this agent.",
    "connect_errors": "Every connect of late has worked.",
    "privileges": "The role can only read.",
    "alerts": "Nothing fires and nothing is pending.",
    "alert_counts": "Nothing fires and nothing is pending.",
    "alert_history": "Nothing has fired since pgmon started.",
    "notifications": "No channel is configured: see notifiers.",
    "server": "The server was not seen lately.",
    "server_info": "The server was not seen lately.",
    "canary": "The server was not seen lately.",
    "statements": "Nothing has run but pgmon.",
    "freshness": "No table of a user is known yet.",
    "partitions": "No table is partitioned.",
    "tuples": "There is no table of a user.",
    "sizes": "There is no table of a user.",
    "partitioned_sizes": "No table is partitioned.",
    "indexes": "There is no index of a user.",
    "index_verdicts": "There is no index of a user.",
    "bloat": "No table is large enough to be looked at, or none had its turn yet.",
    "bloat_methods": "No table is large enough to be looked at, or none had its turn yet.",
    "sequences": "There is no sequence.",
    "stale_stats": "No table of a user is known yet.",
    "down": "The server answers.",
    "changed": "Nothing has changed while pgmon looked.",
    "grants": "The role can only read.",
}
ORDER: Mapping[str, Sequence[str]] = {
    "throughput": ("db", "tps", "xact_commit", "xact_rollback", "deadlocks", "temp_bytes", "stats_reset"),
    "io": ("backend_type", "object", "context", "reads", "writes", "extends", "fsyncs", "hits", "evictions"),
    "sessions": ("pid", "xact_seconds", "state", "state_seconds", "application", "db", "wait", "xmin_age", "query"),
    "sizes": ("relation", "bytes", "heap_bytes", "toast_bytes", "index_bytes", "how"),
    "tuples": ("relation", "pct_dead", "dead", "live", "vacuumed_seconds"),
    "autovacuum_due": ("relation", "reason", "factor", "overdue_seconds"),
    "sequences": ("sequence", "used_ratio", "last_value", "final_value", "unread", "owner"),
    "checks": ("check", "status", "databases", "why", "remedy"),
    "alerts": ("alert", "severity", "state", "object", "message", "firing_seconds", "inhibited_by"),
    "alert_history": ("alert", "severity", "object", "message", "started_seconds", "lasted_seconds"),
}


def title(name: str) -> str:
    """Return the title of a feature's panel.

    >>> title("blocking"), title("dead_tuples")
    ('Blocking tree', 'Dead tuples')
    """
    return TITLES.get(name) or name.replace("_", " ").capitalize()


def check_title(name: str) -> str:
    """Return the name of an alert in words.

    >>> check_title("BlockedSessions"), check_title("WALSurge")
    ('Blocked sessions', 'WAL surge')
    """
    words: list[str] = []
    for i, letter in enumerate(name):
        starts = letter.isupper() and (i == 0 or not name[i - 1].isupper() or name[i + 1 : i + 2].islower())
        words.append(f" {letter}" if starts else letter)
    first, *rest = "".join(words).split()
    return " ".join([first, *(w if w.isupper() else w.lower() for w in rest)])


def prose(text: str) -> Markup:
    """Return a runbook's prose: what stands between backquotes is code.

    >>> str(prose("Look at `a < b`."))
    'Look at <code>a &lt; b</code>.'
    """
    parts = text.split("`")
    return Markup().join(Markup("<code>{}</code>").format(p) if n % 2 else escape(p) for n, p in enumerate(parts))
