"""pgmon about itself: whether it sees the server, how its loops go, what it could not read, what it costs."""

from __future__ import annotations

from pgmon.feature import Tier, counter, detail, feature, gauge, label, row


@row
class Up:
    """Whether the server answers."""

    up: int = gauge("pg_up", "1 when the latest refresh of the hot path was answered by the server, now or not.")


@row
class Server:
    """The server that is watched, as the latest look at it was."""

    incarnation: float = gauge(
        "pg_incarnation_timestamp_seconds",
        "When the counters of this server began: its start, or the crash of a process that came later.",
        "seconds",
    )
    start_time: float = gauge("pg_start_time_seconds", "When the postmaster started.", "seconds")
    timeline: int = gauge("pg_timeline", "Timeline; it grows with every promotion.")
    in_recovery: int = gauge("pg_in_recovery", "1 on a standby.")


@row
class ServerInfo:
    """What runs there."""

    version: str = label("Version of the server.")
    system_identifier: str = label("Identifier of the cluster, the same on its standbys.")
    present: int = gauge("pg_server_info", "1, with what the server is as labels.")


@row
class Canary:
    """How long questions take that are always the same, with the way there and back."""

    probe: str = label("select: SELECT 1; explain: a small plan, made and run.")
    seconds: float = gauge("pgmon_canary_seconds", "Time that a question takes which is always the same.", "seconds")


@row
class ConnectError:
    """Why pgmon cannot connect."""

    reason: str = label("unreachable, rejected, saturated, starting or gone.")
    present: int = gauge(
        "pgmon_connect_error", "1 for the reason why the latest connect failed; absent while none did."
    )


@row
class Loop:
    """The loops: how long each takes, when it last went well."""

    loop: str = label("hot_path, workload, storage or hourly.")
    duration: float | None = gauge(
        "pgmon_scrape_duration_seconds", "Duration of the latest refresh of a loop.", "seconds"
    )
    success: int | None = gauge(
        "pgmon_last_scrape_success", "1 when everything in the latest refresh of a loop worked."
    )
    errors: int = counter("pgmon_errors_total", "Readings of a loop that failed.")
    age: float | None = gauge("pgmon_cache_age_seconds", "Age of the latest snapshot of a loop.", "seconds")
    budget: float = gauge("pgmon_loop_budget_seconds", "Time that a refresh of the loop may take.", "seconds")
    db_seconds: float = counter("pgmon_db_seconds_total", "Time that a loop has waited for PostgreSQL.", "seconds")
    lost: int = counter("pgmon_lost_refreshes_total", "Refreshes of a loop that never came back.")


@row
class Collector:
    """What each feature's latest reading took."""

    collector: str = label("Feature.")
    success: int = gauge("pgmon_collector_success", "1 when the latest reading of a feature worked in every database.")
    duration: float | None = gauge(
        "pgmon_collector_duration_seconds", "Duration of a feature's latest good reading, all databases.", "seconds"
    )


@row
class Check:
    """What could be seen and what could not: unknown is never zero."""

    check: str = label("Feature.")
    status: str = label("ok, degraded where some databases could not be read, else why it could not be read.")
    present: int = gauge(
        "pgmon_check_status", "1 for the present status of a feature: ok, or why it could not be read."
    )
    databases: str = detail("Databases where it could not be read; '' where it is the server's or all is well.")
    why: str = detail("Why it could not be read, in the server's words where they are safe.")
    remedy: str = detail("What to do about it.")


@row
class Connects:
    """What pgmon does at the server's door."""

    connects: int = counter("pgmon_connects_total", "Sessions opened, or tried to open.")
    kills: int = counter("pgmon_watchdog_kills_total", "Answers no longer waited for after their deadline.")


@row
class Degraded:
    """What limits this agent."""

    reason: str = label("What is not as it should be.")
    present: int = gauge("pgmon_degraded", "1 for everything that limits this agent.")


@row
class Series:
    """The size of /metrics."""

    series: int = gauge("pgmon_series", "Samples on the latest page, those of the process left out.")


@row
class Dropped:
    """Samples that were left out."""

    reason: str = label("cap, duplicate or value.")
    dropped: int = counter("pgmon_series_dropped_total", "Samples left out, by reason.")


@row
class Findings:
    """What the role could do besides reading."""

    severity: str = label("refuse, warn or info.")
    findings: int | None = gauge("pgmon_privilege_findings", "Findings of the privilege guard.")


@row
class Build:
    """What is running."""

    version: str = label("Version of pgmon.")
    python: str = label("Version of Python.")
    present: int = gauge("pgmon_build_info", "1, with the versions as labels.")


UP = feature("up", Tier.AGENT, Up, panel="status")
SERVER = feature("server", Tier.AGENT, Server, panel="status")
SERVER_INFO = feature("server_info", Tier.AGENT, ServerInfo, panel="status")
CANARY = feature("canary", Tier.AGENT, Canary, panel="status")
CONNECT_ERRORS = feature("connect_errors", Tier.AGENT, ConnectError, panel="status")
LOOPS = feature("loops", Tier.AGENT, Loop, panel="status")
COLLECTORS = feature("collectors", Tier.AGENT, Collector, panel="status")
CHECKS = feature("checks", Tier.AGENT, Check, panel="status")
CONNECTS = feature("connects", Tier.AGENT, Connects, panel="status")
DEGRADED = feature("degraded", Tier.AGENT, Degraded, panel="status")
SERIES = feature("series", Tier.AGENT, Series, panel="status")
DROPPED = feature("dropped", Tier.AGENT, Dropped, panel="status")
FINDINGS = feature("findings", Tier.AGENT, Findings, panel="status")
BUILD = feature("build", Tier.AGENT, Build, panel="status")
