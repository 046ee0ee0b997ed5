"""pgmon about itself: whether it sees the server, how its loops go, what it could not read, what it costs."""

from __future__ import annotations

from pgmon.feature import Tier, counter, detail, feature, gauge, label, row
from pgmon.rule import Is, Over, Rule, Under


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
class Down:
    """Why the server is not seen, and for how long."""

    reason: str = label("Why the latest refresh of the hot path failed.")
    seconds: float = gauge(
        "pgmon_down_seconds",
        "Time since the server was last seen, by what is in the way; absent while it is.",
        "seconds",
    )
    words: str = detail("The words of the server, or of the network.")


@row
class Changed:
    """What happened to the server while pgmon looked."""

    restarted: float | None = gauge(
        "pgmon_server_restarted_seconds",
        "Time since pgmon saw that the server had restarted, or crashed and recovered; absent if it never did.",
        "seconds",
    )
    changed_role: float | None = gauge(
        "pgmon_role_changed_seconds",
        "Time since pgmon saw the server change between primary and standby, or another one in its place.",
        "seconds",
    )
    how: str = detail("How it started anew.")
    role: str = detail("What became of it.")


@row
class ConnectError:
    """Why pgmon cannot connect."""

    reason: str = label("unreachable, rejected, saturated, starting, locked or gone.")
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
    on_schedule: int = gauge("pgmon_loop_on_schedule", "1 while a loop lands as often as it should.")


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
class Coverage:
    """Whether as much can be seen as before."""

    lost: int = gauge(
        "pgmon_checks_lost", "Features that were read, and then no longer for want of a right or an extension."
    )
    which: str = detail("Their names.")
    reason: str = detail("What the first of them says.")


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
class AlertCount:
    """Alerts by state."""

    alert: str = label("Name of the rule.")
    severity: str = label("critical or warning.")
    state: str = label("pending, firing or unknown: it fired, and cannot be looked at now.")
    alerts: int = gauge("pgmon_alerts", "Alerts of pgmon's own engine, by state; none is absent.")


@row
class CurrentAlert:
    """What is wrong, or about to be: the gravest first."""

    alert: str = detail("Name of the rule.")
    severity: str = detail("critical or warning.")
    state: str = detail("pending, firing or unknown: it fired, and cannot be looked at now.")
    db: str = detail("Database.")
    object: str = detail("What it is about; '' for the server.")
    message: str = detail("What is wrong.")
    paste: str = detail("What to do about it, as lines to paste.")
    since_seconds: float = detail("Since its conditions hold.", "seconds")
    firing_seconds: float | None = detail("Since it fires.", "seconds")
    again_seconds: float | None = detail(
        "Until people are told of it again; none were told where not known.", "seconds"
    )
    unknown: str = detail("Why it cannot be looked at.")
    inhibited_by: str = detail("The alert that explains it, so that nobody is told of this one.")
    advisory: bool = detail("It is told once a day.")


@row
class PastAlert:
    """What fired, the latest first."""

    alert: str = detail("Name of the rule.")
    severity: str = detail("critical or warning.")
    state: str = detail("firing, unknown or resolved.")
    db: str = detail("Database.")
    object: str = detail("What it was about; '' for the server.")
    message: str = detail("What was wrong.")
    started_seconds: float = detail("Since it began to fire.", "seconds")
    lasted_seconds: float | None = detail("How long it fired.", "seconds")


@row
class Notifications:
    """The channels: what was sent, and what was not taken."""

    channel: str = label("slack, email, webhook or heartbeat.")
    sent: int = counter("pgmon_notifications_total", "Messages that a channel has taken.")
    failed: int = counter(
        "pgmon_notifications_failed_total", "Messages that were given up, or dropped because too many waited."
    )
    errors: int = counter("pgmon_notification_errors_total", "Attempts to send a message that failed.")
    waiting: int = gauge("pgmon_notifications_waiting", "Messages that are neither sent nor given up.")
    failing: int = gauge("pgmon_notifications_failing", "1 when the latest attempt to send a message failed.")
    result: str = detail("What came back at the latest attempt.")


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
# What is between a client and an answer; a server that is saturated, or that refuses our login, is there.
DOWN = feature(
    "down",
    Tier.AGENT,
    Down,
    panel="status",
    rules=(
        Rule(
            "DatabaseUnreachable",
            (Is("reason", ("unreachable", "timeout", "locked", "failed")), Over("seconds", crit=0)),
            hold=30,
            message="PostgreSQL does not answer for {seconds:duration}: {reason}, {words}",
        ),
        Rule(
            "DatabaseUnreachable",
            (Is("reason", ("starting",)), Over("seconds", crit=270)),  # five minutes with `for`, as LoopFailing has
            hold=30,
            message="PostgreSQL is starting for {seconds:duration}: {words}",
        ),
        Rule(
            "CannotLogIn",
            (Is("reason", ("rejected", "gone")), Over("seconds", crit=0)),
            hold=60,
            message="PostgreSQL refuses pgmon's login for {seconds:duration}: {words}",
        ),
        Rule(
            "ConnectionSaturation",
            (Is("reason", ("saturated",)), Over("seconds", crit=0)),
            hold=0,
            message="No connection is left, not even for pgmon: {words}",
        ),
    ),
)
CHANGED = feature(
    "changed",
    Tier.AGENT,
    Changed,
    panel="status",
    rules=(
        Rule(
            "ServerRestarted",
            (Under("restarted", 600),),
            hold=0,
            message="PostgreSQL {how} {restarted:duration} ago: its counters began anew",
        ),
        Rule(
            "RoleChanged",
            (Under("changed_role", 600),),
            hold=0,
            message="The server {role}, seen {changed_role:duration} ago",
        ),
    ),
)
LOOPS = feature(
    "loops",
    Tier.AGENT,
    Loop,
    panel="status",
    rules=(
        Rule("LoopFailing", (Under("success", 1),), hold=300, message="Something in the loop {loop} cannot be read"),
        Rule(
            "LoopStale",
            (Under("on_schedule", 1),),
            hold=300,
            message="The loop {loop} has not landed for {age:duration}",
        ),
    ),
)
COLLECTORS = feature("collectors", Tier.AGENT, Collector, panel="status")
CHECKS = feature("checks", Tier.AGENT, Check, panel="status")
COVERAGE = feature(
    "coverage",
    Tier.AGENT,
    Coverage,
    panel="status",
    rules=(
        Rule(
            "CoverageLost",
            (Over("lost", 0),),
            hold=300,
            message="{lost} features can no longer be read ({which}): {reason}",
        ),
    ),
)
CONNECTS = feature("connects", Tier.AGENT, Connects, panel="status")
DEGRADED = feature("degraded", Tier.AGENT, Degraded, panel="status")
SERIES = feature("series", Tier.AGENT, Series, panel="status")
DROPPED = feature("dropped", Tier.AGENT, Dropped, panel="status")
FINDINGS = feature(
    "findings",
    Tier.AGENT,
    Findings,
    panel="status",
    rules=(
        Rule(
            "PrivilegesGained",
            (Is("severity", ("refuse",)), Over("findings", crit=0)),
            hold=300,
            message="pgmon's role can write: {findings} findings",
        ),
    ),
)
ALERT_COUNTS = feature("alert_counts", Tier.AGENT, AlertCount, panel="alerts")
ALERTS = feature("alerts", Tier.AGENT, CurrentAlert, panel="alerts")
ALERT_HISTORY = feature("alert_history", Tier.AGENT, PastAlert, panel="alerts")
NOTIFICATIONS = feature(
    "notifications",
    Tier.AGENT,
    Notifications,
    panel="alerts",
    rules=(
        Rule(
            "NotificationsFailing",
            (Over("failing", 0),),
            hold=300,
            message="The channel {channel} takes no messages: {result}; {waiting} wait",
        ),
    ),
)
BUILD = feature("build", Tier.AGENT, Build, panel="status")
