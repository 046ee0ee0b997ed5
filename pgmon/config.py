"""The configuration: a YAML file and PGMON_* variables, checked into one frozen model.

Attribute names are the keys of the file. All faults are told at once, and no message quotes a value.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from difflib import get_close_matches
from fnmatch import fnmatchcase
from operator import attrgetter
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    SecretStr,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails, PydanticCustomError

from pgmon.errors import ConfigError
from pgmon.yamlfile import KeyPath, has_control, parse, read

# The forms of single values.

_DURATION = re.compile(r"(?=.)(?:(\d{1,9})d)?(?:(\d{1,9})h)?(?:(\d{1,9})m)?(?:(\d{1,9})s)?(?:(\d{1,9})ms)?", re.ASCII)
_BIND = r"(\[[0-9A-Fa-f:.]+\]|[\w.-]+):(6553[0-5]|655[0-2]\d|65[0-4]\d\d|6[0-4]\d{3}|[1-5]\d{4}|\d{1,4})"
_CRON = r"(\*|\d{1,2}(-\d{1,2})?)(/[1-9]\d?)?"
_CRON_LIMITS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 7))


def _wrong(accepted: str) -> PydanticCustomError:
    """Return the error for a value of a wrong form; `accepted` is shown as it is."""
    return PydanticCustomError("form", "{accepted}", {"accepted": accepted})


def _seconds(text: object) -> float:
    """Return the seconds of a duration.

    >>> _seconds("1h30m"), _seconds("90d"), _seconds("250ms")
    (5400.0, 7776000.0, 0.25)
    """
    match = _DURATION.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise _wrong("must be a duration such as 15s, 10m, 1h30m or 90d (write 15s, not 15)")
    return float(sum(int(n or 0) * unit for n, unit in zip(match.groups(), (86400, 3600, 60, 1, 0.001), strict=True)))


def _lasting(least: str) -> BeforeValidator:
    """Return the check for a duration between `least` and ten years."""

    def check(value: object) -> float:
        result = _seconds(value)
        if not _seconds(least) <= result <= _seconds("3650d"):
            raise _wrong(f"must be a duration from {least} to 3650d")
        return result

    return BeforeValidator(check)


def _like(pattern: str, accepted: str) -> AfterValidator:
    """Return the check for a text or a secret that matches a pattern."""

    def check(value: Any) -> Any:
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        if not re.fullmatch(pattern, text, re.ASCII):
            raise _wrong(accepted)
        return value

    return AfterValidator(check)


def _cron(text: str) -> str:
    """Check `minute hour day month weekday`: each *, numbers, ranges and steps in a list."""
    fields = text.split()
    good = len(fields) == 5 and all(
        re.fullmatch(f"{_CRON}(,{_CRON})*", part, re.ASCII)
        and all(low <= int(n) <= high for n in re.findall(r"(?<!/)\b\d+", part))
        for part, (low, high) in zip(fields, _CRON_LIMITS, strict=True)
    )
    if not good:
        raise _wrong('must be five fields of numbers, "minute hour day month weekday", such as "0 2 * * 0"')
    return text


def _moment(value: object) -> datetime:
    """Return the time of a date or a time in ISO 8601; UTC when no offset is given."""
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        raise _wrong("must be a date or a time such as 2026-12-31 or 2026-12-31T18:00Z") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


Duration = Annotated[float, _lasting("1ms")]
Interval = Annotated[float, _lasting("1s")]
Hold = Annotated[float, _lasting("0s")]
Moment = Annotated[datetime, BeforeValidator(_moment)]
Cron = Annotated[str, AfterValidator(_cron)]
Share = Annotated[float, Field(ge=0, le=1)]
Number = Annotated[float, Field(ge=0)]
Count = Annotated[int, Field(ge=0, le=2**63 - 1)]
Xids = Annotated[int, Field(ge=1, le=2**31 - 1)]  # half of the counter: what is older is lost already
Top = Annotated[int, Field(ge=1, le=1000)]
Milliseconds = Annotated[int, Field(ge=1, le=3_600_000)]  # 0 would be no limit to PostgreSQL
Bind = Annotated[str, _like(_BIND, "must be host:port such as 0.0.0.0:8181 or [::]:8181, port 0 to 65535")]
AlertName = Annotated[str, _like("[A-Z][A-Za-z]*", "must be an alert's name such as LongTransaction")]
Tolerated = Annotated[
    str, _like(r"public_schema_create|.+\..+:[A-Z ]+", 'must be public_schema_create or "schema.object:PRIVILEGE"')
]
HostName = Annotated[str, _like(r"\.?[\w-]+(\.[\w-]+)*", "must be a host's name without port, or .suffix")]
Link = Annotated[
    str, _like(r"(https?://[^\s/@?#]+(/[^\s?#]*)?)?", "must be a URL such as https://pgmon.example.com, without a user")
]
Secret = Annotated[SecretStr, PlainSerializer(lambda s: "(set)" if s.get_secret_value() else "(not set)")]
Bcrypt = Annotated[Secret, _like(r"\$2[abxy]\$\d\d\$[./A-Za-z0-9]{53}", "must be a bcrypt hash ($2b$12$…), in quotes")]
Webhook = Annotated[Secret, _like(r"(https?://[^\s/?#]+\S*)?", "must be a URL such as https://example.com/hook")]
Smtp = Annotated[
    Secret,
    _like(
        r"(smtps?://[^\s/?#]+/?\?(?=(\S*&)?from=\S)(?=(\S*&)?to=\S)\S+)?",
        "must be a URL such as smtp://user:password@host:587?from=a@example.com&to=b@example.com",
    ),
]


class Section(BaseModel):
    """A group of keys. A key without a value (`http:`) is not set: its default holds."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        strict=True,
        allow_inf_nan=False,
        hide_input_in_errors=True,
        serialize_by_alias=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _drop_unset(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        return {key: value for key, value in data.items() if value is not None or key not in keys(cls)}


def keys(section: type[Section]) -> list[str]:
    """Return the keys of a section as the file spells them."""
    return [info.alias or name for name, info in section.model_fields.items()]


class Databases(Section):
    include: Annotated[tuple[str, ...], Field(min_length=1)] = ("*",)
    exclude: tuple[str, ...] = ("template*", "rdsadmin", "azure_maintenance", "cloudsqladmin")


class SampleIntervals(Section):
    hot_path: Interval = 15.0
    workload: Interval = 60.0
    storage: Interval = 600.0
    hourly: Interval = 3600.0


class Budgets(Section):
    hot_path: Duration = 1.0
    workload: Duration = 3.0
    storage: Duration = 10.0
    hourly: Duration = 60.0


class MaxStale(Section):
    hot_path: Duration = 60.0
    workload: Duration = 180.0
    storage: Duration = 1800.0
    hourly: Duration = 10800.0


class Limits(Section):
    top_relations: Top = 50
    top_indexes: Top = 50
    top_queries: Top = 50
    databases: Top = 20
    connections: Annotated[int, Field(ge=2, le=20)] = 4  # the pool's, and one that visits
    series: Annotated[int, Field(ge=1, le=1_000_000)] = 10000


class Timeouts(Section):
    statement_timeout_ms: Milliseconds = 3000
    lock_timeout_ms: Milliseconds = 1000
    connect_timeout_s: Annotated[int, Field(ge=1, le=300)] = 5


class Security(Section):
    read_only_enforce: bool = True
    tolerate: tuple[Tolerated, ...] = ()
    redact_sql_text: bool = True
    require_tls: bool = True


class Auth(Section):
    basic_auth_users: Mapping[str, Bcrypt] = {}
    bearer_tokens_file: str = ""
    metrics: bool = True


class Http(Section):
    bind: Bind = "0.0.0.0:8181"
    external_url: Link = ""
    allowed_hosts: tuple[HostName, ...] = ()
    auth: Auth = Auth()
    threads: Annotated[int, Field(ge=2, le=64)] = 8  # half of them may wait for a flight

    @property
    def address(self) -> tuple[str, int]:
        """Host (an IPv6 one without brackets) and port of `bind`."""
        host, _, port = self.bind.rpartition(":")
        return host.strip("[]"), int(port)


class Partitions(Section):
    retention: Mapping[str, Interval] = {}
    ignore: tuple[str, ...] = ()
    exclude_schemas: tuple[str, ...] = ("_timescaledb_*",)


class Replication(Section):
    expected: Annotated[int, Field(ge=0, le=1000)] = 0
    archive_only: bool = False


class RepeatInterval(Section):
    critical: Interval = 3600.0
    warning: Interval = 43200.0


class Override(Section):
    """What one alert does otherwise; None leaves the catalogue's word."""

    warn: float | None = None
    crit: float | None = None
    for_: Hold | None = Field(None, alias="for")
    keep_firing_for: Hold | None = None
    severity: Literal["warning", "critical"] | None = None
    class_: Literal["page", "advisory"] | None = Field(None, alias="class")


class Ignore(Section):
    """What an alert overlooks: rows that match all patterns given, younger than `under`, until a moment."""

    alert: AlertName
    application: str | None = None
    db: str | None = None
    object: str | None = None
    under: Interval | None = None
    until: Moment | None = None


_PG_DUMP = Ignore.model_validate({"alert": "LongTransaction", "application": "pg_dump*", "under": "12h"})


class Maintenance(Section):
    cron: Cron
    duration: Interval


class Alerts(Section):
    enabled: bool = True
    connections_warn: Share = 0.80
    connections_crit: Share = 0.95
    long_txn_warn_s: Number = 300
    long_txn_crit_s: Number = 1800
    idle_txn_warn_s: Number = 300
    idle_txn_crit_s: Number = 1800
    blocked_warn_s: Number = 30
    blocked_crit_s: Number = 120
    lock_queue_warn_s: Number = 30
    lock_queue_crit_s: Number = 60
    lock_queue_sessions: Count = 9
    prepared_warn_s: Number = 900
    prepared_crit_s: Number = 3600
    dead_tuples_pct: Annotated[float, Field(ge=0, le=100)] = 20
    dead_tuples_min: Count = 100_000
    stale_stats_s: Number = 43200
    autovacuum_starved_s: Number = 21600
    checkpoint_requested_share: Share = 0.2
    surge_sigma: Number = 3
    wal_surge_min_bytes_per_s: Number = 16_777_216
    temp_surge_min_bytes_per_s: Number = 33_554_432
    repl_warn_s: Number = 30
    repl_crit_s: Number = 300
    repl_warn_bytes: Count = 10_737_418_240
    xmin_warn: Xids = 50_000_000
    xmin_crit: Xids = 200_000_000
    xmin_held_s: Number = 3600
    slot_inactive_bytes: Count = 1_073_741_824
    slot_inactive_s: Number = 1800
    partition_ahead_widths: Number = 1.0
    archive_ready_warn_s: Number = 900
    archive_ready_crit_s: Number = 3600
    archive_ready_files: Count = 100
    slot_runway_warn_s: Number = 14400
    slot_runway_crit_s: Number = 3600
    wraparound_warn: Xids = 1_500_000_000
    wraparound_crit: Xids = 1_800_000_000
    wraparound_days_left: Number = 7
    unused_index_days: Number = 7
    unused_index_min_bytes: Count = 104_857_600
    sequence_warn: Share = 0.75
    sequence_crit: Share = 0.90
    group_interval: Interval = 300.0
    repeat_interval: RepeatInterval = RepeatInterval()
    overrides: Mapping[AlertName, Override] = {}
    ignore: tuple[Ignore, ...] = (_PG_DUMP,)
    maintenance: tuple[Maintenance, ...] = ()
    disabled: tuple[AlertName, ...] = ()

    @property
    def thresholds(self) -> Mapping[str, Any]:
        """What rules compare with, by key; `wraparound_left_s` is wraparound_days_left in seconds."""
        return self.model_dump() | {"wraparound_left_s": 86400 * self.wraparound_days_left}


class Notifiers(Section):
    slack_webhook: Webhook = SecretStr("")
    webhook: Webhook = SecretStr("")
    email_smtp: Smtp = SecretStr("")
    block_private: bool = False
    heartbeat_url: Webhook = SecretStr("")


class Logging(Section):
    level: Literal["debug", "info", "warning", "error"] = "info"
    format: Literal["json", "console"] = "json"


class Config(Section):
    """All of it; without a file and without variables, the defaults."""

    cluster: Annotated[str, Field(min_length=1, max_length=128)] = "pgmon"
    dsn: Secret = SecretStr("")
    databases: Databases = Databases()
    canary_table: str = ""
    sample_intervals: SampleIntervals = SampleIntervals()
    budgets: Budgets = Budgets()
    max_stale: MaxStale = MaxStale()
    limits: Limits = Limits()
    timeouts: Timeouts = Timeouts()
    security: Security = Security()
    http: Http = Http()
    partitions: Partitions = Partitions()
    replication: Replication = Replication()
    wal_volume_bytes: Count = 0
    wal_volume_path: str = ""
    alerts: Alerts = Alerts()
    notifiers: Notifiers = Notifiers()
    logging: Logging = Logging()

    def monitored(self, databases: Sequence[str]) -> list[str]:
        """Return the databases to visit: included, not excluded, at most limits.databases."""
        include, exclude = self.databases.include, self.databases.exclude
        wanted = [
            db
            for db in databases
            if any(fnmatchcase(db, p) for p in include) and not any(fnmatchcase(db, p) for p in exclude)
        ]
        return wanted[: self.limits.databases]


# What follows from the models.


def _leaves(section: type[Section], path: tuple[str, ...] = ()) -> Iterator[tuple[KeyPath, Any]]:
    """Yield the path and the type of every key that is no section."""
    for name, info in section.model_fields.items():
        kind: Any = info.annotation
        if isinstance(kind, type) and issubclass(kind, Section):
            yield from _leaves(kind, (*path, name))
        else:
            yield (*path, name), kind


def _pairs() -> Iterator[tuple[KeyPath, KeyPath]]:
    """Yield the keys of which the first must not exceed the second."""
    for tier in SampleIntervals.model_fields:
        yield ("budgets", tier), ("sample_intervals", tier)
        yield ("sample_intervals", tier), ("max_stale", tier)
    for warn in Alerts.model_fields:
        crit = warn.replace("_warn", "_crit")
        if crit != warn and crit in Alerts.model_fields:  # a runway's critical is the lower one: the defaults say so
            low, high = sorted((warn, crit), key=lambda name: float(getattr(Alerts(), name)))
            yield ("alerts", low), ("alerts", high)


def _dotted(path: KeyPath) -> str:
    return ".".join(map(str, path))


LEAVES = dict(_leaves(Config))
KEYS = dict.fromkeys(path[:n] for path in LEAVES for n in range(1, len(path) + 1))
VARIABLES = {"PGMON_" + "_".join(map(str, path)).upper(): path for path in LEAVES}
FILES = {
    f"PGMON_{key}_FILE": f"PGMON_{key}"
    for key in ("DSN", "NOTIFIERS_SLACK_WEBHOOK", "NOTIFIERS_WEBHOOK", "NOTIFIERS_EMAIL_SMTP")
}
_SECRETS = {path for path, kind in LEAVES.items() if "SecretStr" in str(kind)}  # str: it may be a map's value
_PAIRS = tuple(_pairs())
_BY_NAME = {str(path[-1]): _dotted(path) for path in reversed(KEYS)} | {_dotted(path): _dotted(path) for path in KEYS}
_OF_ITEMS = {key: key for section in (Override, Ignore, Maintenance) for key in keys(section)}
_BY_VARIABLE = {name[6:].lower(): name for name in (*VARIABLES, *FILES)}
_KUBERNETES = re.compile(r"PGMON_(.+_)?(SERVICE_HOST|SERVICE_PORT.*|PORT|PORT_\d+_TCP.*)", re.ASCII)
_PLAIN = re.compile(r"[A-Za-z_.]{1,63}")

MAX_FAULTS = 100  # a file that is no configuration at all has thousands

_MESSAGES = {  # by pydantic's type of error; its own messages may quote the value
    "form": "{accepted}",
    "extra_forbidden": "unknown key",
    "missing": "is missing",
    "string_type": "must be a text; put yes, no, on, off, true, false and numbers in quotes",
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
    "bool_type": "must be true or false",
    "int_type": "must be a whole number, without a unit",
    "float_type": "must be a number, without a unit",
    "finite_number": "must be a finite number",
    "greater_than_equal": "must be at least {ge}",
    "less_than_equal": "must be at most {le}",
    "literal_error": "must be {expected}",
    "tuple_type": "must be a list such as [a, b]",
    "too_short": "must not be empty",
    "dict_type": "must be a map such as {{a: b}}",
    "model_type": "must be a map of keys",
}


# Loading.


@dataclass(frozen=True, slots=True)
class Loaded:
    """The configuration, and what is odd about where it came from."""

    config: Config
    warnings: tuple[str, ...]


@dataclass(slots=True)
class _Draft:
    """What file and variables say, not yet checked; `labels` has the place that a key's value came from."""

    data: dict[str, Any] = field(default_factory=dict)
    labels: dict[KeyPath, str] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def put(self, path: KeyPath, value: object, name: str) -> None:
        """Let variable `name` have the last word on a key."""
        section: Any = self.data
        for key in path[:-1]:
            if section.get(key) is None:
                section[key] = {}
            section = section[key]
            if not isinstance(section, dict):
                return  # the file's fault, and told as such
        section[path[-1]] = value
        self.labels = {key: label for key, label in self.labels.items() if key[: len(path)] != path}
        self.labels[path] = name

    def fault(self, path: KeyPath, message: str) -> None:
        """Note what is wrong with a key, behind its place: `file:line: key` or the variable's name."""
        known = next((n for n in range(len(path), 0, -1) if path[:n] in self.labels), 0)
        self.faults.append(_sentence(self.labels.get(path[:known], ""), ".".join(_shown(path)[known:]), message))


def load(path: str | Path | None, environ: Mapping[str, str], strict: bool = False) -> Loaded:
    """Return the configuration of the file at `path` (None: no file) under the PGMON_* variables of `environ`.

    Raises ConfigError with all faults. An unknown PGMON_* variable is a warning, or with `strict` a fault.
    An empty variable counts as not set: compose files pass `${PGMON_X:-}`.
    """
    draft = _Draft()
    if path is not None:
        _read_file(path, draft)
    _read_environment(environ, draft)
    config = _check(draft)
    faults = [*draft.faults, *(draft.warnings if strict else ())]
    if faults:  # raised here, outside of every `except`: no chained exception keeps a value
        raise ConfigError(faults)
    return Loaded(config, tuple(draft.warnings))


def require_dsn(config: Config) -> None:
    """Raise ConfigError when no DSN is given."""
    if not config.dsn.get_secret_value().strip():
        raise ConfigError(["dsn: is not set; give dsn in the file, PGMON_DSN, or PGMON_DSN_FILE (the name of a file)"])


def describe(config: Config) -> dict[str, Any]:
    """Return the effective configuration for JSON: durations in seconds, secrets as "(set)" or "(not set)"."""
    return config.model_dump(mode="json")


def _read_file(path: str | Path, draft: _Draft) -> None:
    try:
        document = parse(read(path))
    except ConfigError as error:
        draft.faults.append(_sentence(str(path), str(error)))
        return
    draft.labels = {key: _sentence(f"{path}:{line}", ".".join(_shown(key))) for key, line in document.lines.items()}
    for fault in document.faults:
        draft.faults.append(_sentence(f"{path}:{fault.line}", ".".join(_shown(fault.path)), fault.message))
    if isinstance(document.value, dict):
        draft.data = document.value
    elif not document.faults:
        wrong = "is empty" if document.value is None else "must be a map of keys"
        draft.faults.append(f"{path}:1: {wrong}; write lines such as cluster: prod")


def _read_environment(environ: Mapping[str, str], draft: _Draft) -> None:
    for name, value in sorted(environ.items()):
        if not name.startswith("PGMON_") or not value:
            continue
        if name in VARIABLES:
            _take(VARIABLES[name], value, name, draft)
        elif name in FILES:
            _take_file(name, value, FILES[name] if environ.get(FILES[name]) else None, draft)
        elif not _KUBERNETES.fullmatch(name):
            draft.warnings.append(f"{name}: unknown variable{_meant(name[6:], _BY_VARIABLE)}")


def _take(path: KeyPath, value: str, name: str, draft: _Draft) -> None:
    """Take a variable's value: a text as it is (0123 and yes are texts), all else as YAML."""
    if LEAVES[path] in (str, SecretStr):
        draft.put(path, value.rstrip("\r\n"), name)
        if has_control(value):
            draft.fault(path, "has a control character")
        return
    document = parse(value)
    draft.put(path, document.value, name)
    for fault in document.faults:
        draft.fault((*path, *fault.path), fault.message)


def _take_file(name: str, file: str, rival: str | None, draft: _Draft) -> None:
    """Take the value of a key from the file that variable `name` names."""
    try:
        value = read(file)
    except ConfigError as error:
        draft.faults.append(_sentence(name, f"the file {error}"))
        return
    if rival:
        draft.faults.append(_sentence(name, f"{rival} is set too; set one of them"))
    elif not value.strip():
        draft.faults.append(_sentence(name, "the file is empty"))
    else:
        _take(VARIABLES[FILES[name]], value, name, draft)


def _check(draft: _Draft) -> Config:
    """Return the model, with the default in place of every faulty key, so that the others can be compared."""
    errors = _errors(draft.data)
    for error in errors[:MAX_FAULTS]:
        draft.fault(error["loc"], _message(error))
    if len(errors) > MAX_FAULTS:
        draft.faults.append(f"{len(errors) - MAX_FAULTS} more faults")
    faulty = {_key(error["loc"]) for error in errors}
    for path in faulty:
        _drop(path, draft.data)
    config = Config.model_validate(draft.data)
    for low, high in _PAIRS:
        if not faulty & {low, high, low[:1], high[:1]}:
            _compare(low, high, config, draft)
    return config


def _errors(data: Mapping[str, Any]) -> list[ErrorDetails]:
    try:
        Config.model_validate(data)
    except ValidationError as error:
        return error.errors(include_input=False, include_url=False)
    return []


def _key(location: KeyPath) -> KeyPath:
    """Return the key that a place in its value belongs to; an unknown key is its own."""
    return next((location[:n] for n in range(1, len(location)) if location[:n] in LEAVES), location)


def _drop(path: KeyPath, data: dict[Any, Any]) -> None:
    for section in path[:-1]:
        data = data[section]
    data.pop(path[-1], None)


def _compare(low: KeyPath, high: KeyPath, config: Config, draft: _Draft) -> None:
    """Note a fault, at the one that was given, when the lower of two keys exceeds the higher."""
    least, most = (attrgetter(_dotted(path))(config) for path in (low, high))
    if least > most and low in draft.labels:
        draft.fault(low, f"must not exceed {_dotted(high)} ({most:.15g})")
    elif least > most:
        draft.fault(high, f"must be at least {_dotted(low)} ({least:.15g})")


def _message(error: ErrorDetails) -> str:
    message = _MESSAGES.get(error["type"], "is not accepted").format_map(error.get("ctx", {}))
    if error["type"] != "extra_forbidden":
        return message
    path = error["loc"]
    pool = _BY_NAME if _key(path) == path else _OF_ITEMS
    return message + (_meant(_dotted(path), pool, 0.75) or _meant(str(path[-1]), pool, 0.75))


def _meant(name: str, pool: Mapping[str, str], cutoff: float = 0.6) -> str:
    """Return the words that propose the known key whose name is most like an unknown one, if one is."""
    nearest = get_close_matches(name[:80].lower(), pool, 1, cutoff)
    return f"; did you mean '{pool[nearest[0]]}'?" if nearest else ""


def _shown(path: KeyPath) -> list[str]:
    """Return the parts of a path; one that could be a secret in the place of a key becomes `*`."""
    return [str(path[n]) if _harmless(path[: n + 1]) else "*" for n in range(len(path))]


def _harmless(path: KeyPath) -> bool:
    if path in KEYS or isinstance(path[-1], int):
        return True
    return bool(_PLAIN.fullmatch(path[-1])) and not any(path[:n] in _SECRETS for n in range(len(path)))


def _sentence(*parts: str) -> str:
    return ": ".join(part for part in parts if part)
