"""The catalogue: features, their rows and their SQL files, looked at without a database."""

from __future__ import annotations

import ast as python
import re
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pglast
import pytest
from pglast import ast
from pglast.visitors import Skip, Visitor

from pgmon import alerts, changes, exposition, notify, own, sqlfiles, web
from pgmon.exposition import Families
from pgmon.feature import Tier, columns
from pgmon.features import FEATURES

ASKED = {f.name for f in FEATURES if f.of is None and f.tier is not Tier.AGENT}
NO_FEATURE = {"facts", "session"}  # what every flight asks first, and what a session is told
FILES = sorted(sqlfiles.FOLDER.glob("*.sql"))

SCHEMAS = {"pg_catalog", "extension"}
NAMES = dict.fromkeys(sqlfiles.EXTENSIONS, "extension") | {"canary_schema": "pg_catalog", "canary_table": "pg_am"}
MAJORS = tuple(sqlfiles.PGSS)
PGSS = ("1.7", "1.8", "1.9", "1.10", "1.11", "1.12")
# Whatever the server ships, or any older version that an upgrade by pg_upgrade left behind, or none.
SERVERS = [
    (major, extension) for major in MAJORS for extension in (None, *PGSS[: PGSS.index(sqlfiles.PGSS[major]) + 1])
]

# They read, and return at once: nothing is signalled, reset, written, locked, slept or fetched from a file.
READING = {
    "acldefault",
    "aclexplode",
    "age",
    "array_agg",
    "array_position",
    "array_to_string",
    "avg",
    "count",
    "current_database",
    "current_setting",
    "extract",
    "format",
    "generate_series",
    "has_database_privilege",
    "has_sequence_privilege",
    "jsonb_build_array",
    "jsonb_object_agg",
    "left",
    "max",
    "min",
    "mxid_age",
    "now",
    "pg_backend_pid",
    "pg_blocking_pids",
    "pg_collation_actual_version",
    "pg_control_checkpoint",
    "pg_control_system",
    "pg_current_wal_lsn",
    "pg_database_collation_actual_version",
    "pg_database_size",
    "pg_get_expr",
    "pg_get_replication_slots",
    "pg_has_role",
    "pg_identify_object",
    "pg_indexes_size",
    "pg_is_in_recovery",
    "pg_is_wal_replay_paused",
    "pg_last_wal_receive_lsn",
    "pg_last_wal_replay_lsn",
    "pg_last_xact_replay_timestamp",
    "pg_lock_status",
    "pg_ls_archive_statusdir",
    "pg_ls_tmpdir",
    "pg_ls_waldir",
    "pg_options_to_table",
    "pg_postmaster_start_time",
    "pg_prepared_xact",
    "pg_relation_size",
    "pg_size_bytes",
    "pg_stat_get_activity",
    "pg_stat_get_db_stat_reset_time",
    "pg_stat_get_dead_tuples",
    "pg_stat_get_ins_since_vacuum",
    "pg_stat_get_last_analyze_time",
    "pg_stat_get_last_autoanalyze_time",
    "pg_stat_get_last_autovacuum_time",
    "pg_stat_get_last_vacuum_time",
    "pg_stat_get_lastscan",
    "pg_stat_get_live_tuples",
    "pg_stat_get_mod_since_analyze",
    "pg_stat_get_numscans",
    "pg_stat_get_progress_info",
    "pg_stat_get_tuples_inserted",
    "pg_stat_statements",
    "pg_stat_statements_info",
    "pg_table_size",
    "pg_total_relation_size",
    "pg_wal_lsn_diff",
    "pg_walfile_name",
    "quote_ident",
    "regexp_replace",
    "row_number",
    "string_agg",
    "substr",
    "substring",
    "sum",
    "to_jsonb",
    "txid_current_snapshot",
    "txid_snapshot_xmax",
    "unnest",
}
# They lock what they look at until the statement ends: never what somebody else has locked, and only so many.
SAMPLING = {
    "bloat": {"pg_freespace", "pg_relation_size", "pgstattuple_approx"},
    "sequences": {"pg_sequence_last_value"},
}
SETTING = {"set_config"}  # of our own session
STANDARD = {"avg", "count", "max", "min", "row_number", "sum"}  # of the SQL standard, written without a schema
AGGREGATES = STANDARD - {"row_number"}
SINGLE_ROW = {"pg_stat_archiver", "pg_stat_bgwriter", "pg_stat_checkpointer", "pg_stat_wal", "pg_stat_wal_receiver"}

LABELS = {
    *("cluster", "db", "loop", "collector", "check", "status", "reason", "severity", "version", "python", "channel"),
    *("state", "wait_event_type", "holder", "phase", "probe", "alert", "limit", "method", "kind", "system_identifier"),
    *("queryid", "relation", "relkind", "index", "sequence", "replica", "slot", "subscription"),
    *("backend_type", "object", "context"),
}
# Names and labels that users were promised, beside `cluster` and, where it is not pgmon's own, `db`.
PROMISED = {
    "pg_connections": (),
    "pg_max_connections": (),
    "pg_blocked_sessions_total": (),
    "pg_longest_blocked_seconds": (),
    "pg_tps": (),
    "pg_qps": (),
    "pg_query_latency_seconds_mean": (),
    "pg_query_latency_seconds_p95": (),
    "pg_stmt_calls_total": ("queryid",),
    "pg_stmt_time_seconds_total": ("queryid",),
    "pg_stmt_shared_blks_read_total": ("queryid",),
    "pg_checkpoints_timed_total": (),
    "pg_checkpoints_requested_total": (),
    "pg_replication_lag_seconds": ("replica",),
    "pg_replication_lag_bytes": ("replica",),
    "pg_table_last_autovacuum_seconds": ("relation",),
    "pg_table_last_autoanalyze_seconds": ("relation",),
    "pgmon_scrape_duration_seconds": ("loop",),
    "pgmon_last_scrape_success": ("loop",),
    "pgmon_errors_total": ("loop",),
}

UNITS = ("seconds", "bytes", "ratio")
ABBREVIATED = {"b", "d", "h", "kb", "m", "mb", "min", "mins", "ms", "msec", "s", "sec", "secs", "us"}
RESERVED = ("_bucket", "_count", "_created", "_info_total", "_sum")
METRICS = [(f, c) for f in FEATURES for c in columns(f.row).values() if c.metric]
ROWS = sorted({row for f in FEATURES for row in (f.raw, f.row)}, key=lambda row: row.__qualname__)

each_file = pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
each_metric = pytest.mark.parametrize(("feature", "column"), METRICS, ids=[c.metric for _, c in METRICS])
each_row = pytest.mark.parametrize("row", ROWS, ids=[row.__qualname__ for row in ROWS])


# --- which file -------------------------------------------------------------------------------------------------------


def name_of(path):
    return path.name.partition(".")[0]


def facts_of(major, extension):
    installed = {"pg_stat_statements": [extension, "public"]} if extension else {}
    return replace(sqlfiles.assumed(major), extensions=installed)


def test_every_feature_with_a_statement_has_a_file_and_every_file_a_feature():
    assert {name_of(path) for path in FILES} == ASKED | NO_FEATURE


def serving(name, major, extension):
    """Return the variants that a server understands, and the one chosen."""
    return understood_by(name, major, extension), sqlfiles.choose(name, facts_of(major, extension))


def understood_by(name, major, extension):
    """Return the variants that a server understands."""
    return [v for v in sqlfiles.variants(name) if v.serves(facts_of(major, extension))]


each_name = pytest.mark.parametrize("name", sorted(ASKED | NO_FEATURE))


@each_name
def test_every_server_has_a_variant_from_the_first_release_that_has_such_a_thing(name):
    least = sqlfiles.variants(name)[0].least[0]
    chosen = {server: serving(name, *server) for server in SERVERS if server[0] >= least}

    assert [server for server, (understood, best) in chosen.items() if best not in understood] == []
    assert least == 12 or not [server for server in SERVERS if server[0] < least and understood_by(name, *server)]


@each_name
def test_no_two_variants_are_equally_good(name):
    ranks = [v.rank for v in sqlfiles.variants(name)]

    assert len(set(ranks)) == len(ranks)


@pytest.mark.parametrize("path", [p for p in FILES if p.name.count(".") > 1], ids=lambda path: path.name)
def test_a_variant_says_from_which_release_on_it_is_needed(path):
    release = re.search(r"\.(?:pg|[a-z_]+)([\d.]+)\.sql", path.name)[1]

    assert re.search(rf"\b{re.escape(release)}\b", comment_of(path))


def test_the_two_statements_of_the_guard_reach_the_same_roles():
    texts = [path.read_text() for path in FILES if name_of(path) in ("privileges", "grants")]
    reaches = {re.search(r"RECURSIVE membership AS .+?(?=\), (acl|schema) AS)", text, re.DOTALL)[0] for text in texts}

    assert (len(texts), len(reaches)) == (3, 1)


def test_from_15_on_the_guard_asks_for_parameters_too_and_for_nothing_else():
    base, since_15 = (sqlfiles.variants("privileges")[n].text.splitlines() for n in (0, 1))
    added = [line for line in since_15 if line not in base]

    assert [line for line in base if line not in since_15] == [base[0]]
    assert "pg_parameter_acl" in "".join(added)


# --- what is in it ----------------------------------------------------------------------------------------------------


def comment_of(path):
    """Return the comment at the head of a file, in one line."""
    head = re.match(r"(?:--.*\n)*", path.read_text())[0]
    return " ".join(line.removeprefix("--").strip() for line in head.splitlines())


def parsed(path):
    """Return the statements of a file as a tree, its variables filled."""
    text = path.read_text()
    numbers = dict.fromkeys(re.findall(r"(?<!:):([a-z_]+)\b", text), 7)
    return pglast.parse_sql(sqlfiles.fill(text, numbers, NAMES))


def select_in(path):
    """Return the SELECT of a file, or that which it explains."""
    statement = parsed(path)[0].stmt
    return statement.query if isinstance(statement, ast.ExplainStmt) else statement


class Found(Visitor):
    """The nodes of some types in a tree."""

    def __init__(self, *types):
        self.types, self.nodes = types, []

    def visit(self, ancestors, node):
        if isinstance(node, self.types):
            self.nodes.append(node)


def found(path, *types):
    visitor = Found(*types)
    visitor(parsed(path))
    return visitor.nodes


def called(path):
    """Return the functions that a file calls: schema or '', and name."""
    names = [[part.sval for part in call.funcname] for call in found(path, ast.FuncCall)]
    return {("".join(schema), name) for *schema, name in names}


@each_file
def test_a_file_begins_with_a_sentence(path):
    assert re.fullmatch(r"[A-Z].+\.", comment_of(path))


@each_file
def test_the_marker_stands_right_after_the_first_keyword(path):
    statement = re.sub(r"\A(?:--.*\n)*", "", path.read_text())

    assert re.match(rf"(SELECT|WITH|EXPLAIN) /\* pgmon:{name_of(path)} \*/\s", statement)


@each_file
def test_a_file_is_a_single_select(path):
    assert len(parsed(path)) == 1
    assert type(select_in(path)) is ast.SelectStmt


@each_file
def test_a_file_writes_and_locks_nothing(path):
    assert not found(
        path, ast.InsertStmt, ast.UpdateStmt, ast.DeleteStmt, ast.MergeStmt, ast.IntoClause, ast.LockingClause
    )


@each_file
def test_a_file_calls_only_functions_that_read(path):
    allowed = READING | SAMPLING.get(name_of(path), set()) | (SETTING if path.name == "session.sql" else set())

    assert {name for _, name in called(path)} <= allowed


@each_file
def test_functions_are_qualified(path):
    assert not [name for schema, name in called(path) if schema not in SCHEMAS and name not in STANDARD]


@each_file
def test_relations_are_qualified(path):
    own = {cte.ctename for cte in found(path, ast.CommonTableExpr)}

    assert not [r.relname for r in found(path, ast.RangeVar) if r.schemaname not in SCHEMAS and r.relname not in own]


class Aggregates(Visitor):
    """Whether something is summed up, sub-selects left out."""

    found = False

    def visit_SubLink(self, ancestors, node):
        return Skip

    def visit_FuncCall(self, ancestors, node):
        self.found |= node.over is None and node.funcname[-1].sval in AGGREGATES


def is_single_row(statement):
    """Tell whether a statement aggregates everything into one row, or reads from what has one."""
    sources, aggregates = Found(ast.RangeVar), Aggregates()
    for source in statement.fromClause or ():
        sources(source)
    for target in statement.targetList:
        aggregates(target)
    return (aggregates.found and not statement.groupClause) or {r.relname for r in sources.nodes} <= SINGLE_ROW


def is_bounded(path):
    """Tell whether a LIMIT, or a list of ids, bounds the rows; or the base file says why nothing does."""
    base = path.with_name(f"{name_of(path)}.sql")
    sources = [source.subquery for source in found(path, ast.RangeSubselect)]
    limited = any(s.limitCount for s in (select_in(path), *sources)) or "= ANY (:" in path.read_text()
    subqueries = [source.subquery for source in found(path, ast.RangeSubselect)]
    sources = [s for query in subqueries for s in (query, query.larg, query.rarg) if s]  # of a UNION: both
    limited = any(s.limitCount for s in (parsed(path)[0].stmt, *sources)) or "= ANY (:" in path.read_text()
    return limited or "No LIMIT: " in comment_of(base)


@each_file
def test_rows_have_an_order_unless_there_is_one(path):
    statement = select_in(path)

    assert statement.sortClause or is_single_row(statement)


@each_file
def test_rows_have_a_bound_unless_there_is_one(path):
    assert is_single_row(select_in(path)) or is_bounded(path)


# --- what comes of it -------------------------------------------------------------------------------------------------


def labels_of(feature, column):
    """Return the label names that a column's family is exported with."""
    families = Families(feature, None, "cluster", Counter()).made.values()
    return next(f._labelnames for f in families if f.name in (column.metric, column.metric.removesuffix("_total")))


def test_a_name_stands_for_one_feature():
    assert len({f.name for f in FEATURES}) == len(FEATURES)


def test_a_metric_belongs_to_one_feature():
    assert [metric for metric, n in Counter(c.metric for _, c in METRICS).items() if n > 1] == []


@each_metric
def test_counters_and_only_they_end_in_total(feature, column):
    assert column.role == "untyped" or (column.role == "counter") == column.metric.endswith("_total")


@each_metric
def test_a_metric_is_a_lower_case_name_of_postgresql_or_of_pgmon(feature, column):
    assert re.fullmatch(r"(pg|pgmon)(_[a-z0-9]+)+", column.metric)


@each_metric
def test_no_metric_has_an_abbreviated_unit_or_a_reserved_suffix(feature, column):
    assert not set(column.metric.split("_")) & ABBREVIATED
    assert not column.metric.endswith(RESERVED)


@each_metric
def test_the_name_of_a_metric_tells_its_unit(feature, column):
    assert [unit for unit in UNITS if unit in column.metric.split("_")] == [column.unit] * bool(column.unit)


@each_metric
def test_labels_are_those_of_the_catalogue(feature, column):
    assert set(labels_of(feature, column)) <= LABELS


@pytest.mark.parametrize(("metric", "labels"), PROMISED.items(), ids=PROMISED)
def test_a_promised_metric_has_exactly_its_labels(metric, labels):
    [(feature, column)] = [(f, c) for f, c in METRICS if c.metric == metric]
    common = ("cluster",) if metric.startswith("pgmon_") else ("cluster", "db")

    assert sorted(labels_of(feature, column)) == sorted((*common, *labels))


@each_row
def test_a_row_says_in_a_sentence_what_it_is(row):
    assert re.fullmatch(r"[A-Z][^\n]+\.", row.__doc__)


@each_row
def test_every_column_is_explained_in_a_sentence(row):
    unsaid = {name: c.help for name, c in columns(row).items() if not re.fullmatch(r"\w[^\n]*[^.\s]\.", c.help)}

    assert unsaid == {}


@pytest.mark.parametrize("feature", [f for f in FEATURES if f.rules], ids=lambda f: f.name)
def test_the_message_of_a_rule_names_columns_of_the_row(feature):
    names = {name for rule in feature.rules for name in re.findall(r"\{(\w*)", rule.message)}

    assert names <= set(columns(feature.row))


# --- who reads it -----------------------------------------------------------------------------------------------------

READERS = [Path(module.__file__) for module in (exposition, changes, own)]
READERS += [path for package in (alerts, notify, web) for path in sorted(Path(package.__file__).parent.glob("*.py"))]


@pytest.mark.parametrize("path", READERS, ids=lambda path: f"{path.parent.name}/{path.name}")
def test_readers_leave_what_a_statement_returned_alone(path):
    tree = python.parse(path.read_text())

    assert not [node.lineno for node in python.walk(tree) if isinstance(node, python.Attribute) and node.attr == "raw"]
