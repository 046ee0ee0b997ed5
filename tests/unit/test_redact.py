"""What is redacted, what stays, and that nothing hidden survives a cut, a mutation or a second reading."""

from __future__ import annotations

import os
import re
import time

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pgmon.redact import SHOWN, plain, redact, words

# PGMON_EXAMPLES=20000 for a long run; the default takes a few seconds in all.
thoroughly = settings(max_examples=int(os.environ.get("PGMON_EXAMPLES", "300")), deadline=None, database=None)

LITERALS = [
    ("SELECT 'hunter'", "SELECT ?"),
    ("SELECT 'it''s hunter', a", "SELECT ?, a"),
    ("SELECT 'a' 'hunter'\n'hunter', b", "SELECT ? ? ?, b"),
    (r"SELECT 'hunter\\', a", "SELECT ?, a"),
    (r"SELECT E'\'hunter\\', a", "SELECT ?, a"),
    (r"SELECT e'a''\'hunter', a", "SELECT ?, a"),
    ("SELECT \"x\"E'a\\'hunter', a", 'SELECT "x"?, a'),
    ("SELECT U&'\\0061hunter' UESCAPE '!'", "SELECT ? UESCAPE ?"),
    ("SELECT b'hunter', X'hunter', n'hunter', u&'hunter'", "SELECT ?, ?, ?, ?"),
    ("SELECT date'hunter'", "SELECT date?"),
    ("SELECT $$hunter's\nhunter$$, a", "SELECT ?, a"),
    ("SELECT $a$ $$ $b$ hunter $a$, a", "SELECT ?, a"),
    ("SELECT $é1$ hunter $é1$, a", "SELECT ?, a"),
    ("SELECT $1$$hunter$$, a", "SELECT $1?, a"),
    ("SELECT a$b$ 'hunter' $b$", "SELECT a$b$ ? ?"),  # a name may hold dollars: $b$ opens nothing here
    ("SELECT 1, -2.5, .5, 1.5e-10, 0x1F, 1_000, 5.", "SELECT ?, -?, ?, ?, ?, ?, ?"),
    ("SELECT 1and 2", "SELECT ? ?"),
    ("SELECT a1, t2.c3[4:5]", "SELECT a1, t2.c3[?:?]"),
    ("SELECT $1, $65535", "SELECT $1, $65535"),
    ("SELECT $123456, $1hunter", "SELECT ?, ?"),
    ("SELECT a -> 'hunter', b ?| c, d @> $1", "SELECT a -> ?, b ?| c, d @> $1"),
    ('SELECT "' + "h" * 63 + '", ' + "n" * 63, 'SELECT "' + "h" * 63 + '", ' + "n" * 63),
    ('SELECT "hunter' + "h" * 60 + '", hunter' + "n" * 60 + "$hunter, a", "SELECT ?, ?, a"),
]
NAMES = [
    ('SELECT "O\'Hara", "a""b" FROM "T"', 'SELECT "O\'Hara", "a""b" FROM "T"'),
    ('SELECT "-- a", "/* b" FROM t', 'SELECT "-- a", "/* b" FROM t'),
    ('SELECT U&"d\\0061t" FROM t', 'SELECT U&"d\\0061t" FROM t'),
    ('SELECT "a\n\tb\x1b[2J\u202e\ud800" FROM t', 'SELECT "a b [2J\ufffd\ufffd" FROM t'),
    ("SELECT größe\u200f FROM מחיר", "SELECT größe\ufffd FROM מחיר"),
]
COMMENTS = [
    ("SELECT a -- hunter\n, b", "SELECT a , b"),
    ("SELECT a --hunter\r, b", "SELECT a , b"),
    ("SELECT/*hunter*/a", "SELECT a"),
    ("SELECT /* /* hunter */ hunter */ a", "SELECT a"),
    ("SELECT /*/ hunter **/ a", "SELECT a"),
    ("SELECT /* ' hunter */ a, 'hunter' /* ' */", "SELECT a, ?"),
    ("SELECT 1*/*hunter*/2, 3+--hunter\n4", "SELECT ?* ?, ?+ ?"),
    ("SELECT a IN ($1 /*, ... */)", "SELECT a IN ($1 )"),
    ("  \n\t SELECT \f 1 \n ", "SELECT ?"),
]
UNENDED = [
    ("SELECT a, 'hunter", "SELECT a, ?"),
    ("SELECT a, 'hunter''", "SELECT a, ?"),
    ("SELECT a, 'b''hunter", "SELECT a, ?"),
    ("SELECT a, E'hunter\\", "SELECT a, ?"),
    ("SELECT a, E'hunter\\'", "SELECT a, ?"),
    ("SELECT a, E'b''hunter", "SELECT a, ?"),
    ("SELECT a, U&'hunter", "SELECT a, ?"),
    ("SELECT a, $$hunter$", "SELECT a, ?"),
    ("SELECT a, $x$hunter$$ $x", "SELECT a, ?"),
    ('SELECT a, "hunter', "SELECT a, ?"),
    ('SELECT a, "hunter""', "SELECT a, ?"),
    ('SELECT a, "' + "h" * 63 + '""hunter', "SELECT a, ?"),
    ("SELECT a /* hunter", "SELECT a"),
    ("SELECT a /* /* hunter */ hunter", "SELECT a"),
    ("SELECT a -- hunter", "SELECT a"),
    ("SELECT a, 73", "SELECT a, ?"),
]
AMBIGUOUS = [  # read differently with standard_conforming_strings off, or by another version
    (r"SELECT a, 'b\', hunter, 'c'", "SELECT a, ?"),
    (r"SELECT a, 'b\' || hunter || 'hunter'", "SELECT a, ?"),
    (r"SELECT a, 'b\'' , hunter", "SELECT a, ?"),
    (r"SELECT a, E'b' 'c\', hunter, '", "SELECT a, ? ?"),
    (r"SELECT a, fooE'b\'hunter'", "SELECT a, fooE?"),
    (r"SELECT a, 1E'b\'hunter'", "SELECT a, ??"),
    (r"SELECT a, éE'b\'hunter'", "SELECT a, éE?"),
    ("SELECT a, 1_0$a$ hunter $a$", "SELECT a, ?"),
    ("SELECT a, 0x1$a$ 'x$a$ hunter'", "SELECT a, ?"),
    ("SELECT a, 1e5$a$ hunter $a$", "SELECT a, ?"),
    ("SELECT a, $1b$a$ 'x$a$ hunter'", "SELECT a, ? ?"),
    ("SELECT a, 1\u00a0$a$ 'x$a$hunter'", "SELECT a, ?"),
]
WITHHELD = [
    ("ALTER ROLE hunter PASSWORD 'hunter'", "ALTER ROLE <withheld>"),
    ("alter  user\n hunter password hunter", "alter user <withheld>"),
    ("CREATE/**/USER/* */hunter PASSWORD hunter", "CREATE USER <withheld>"),
    ("CREATE GROUP hunter", "CREATE GROUP <withheld>"),
    ("EXPLAIN CREATE ROLE hunter", "CREATE ROLE <withheld>"),
    ("PREPARE x AS ALTER ROLE hunter", "ALTER ROLE <withheld>"),
    ("SELECT 1; ALTER ROLE hunter; SELECT hunter", "SELECT ?; ALTER ROLE <withheld>"),
    ("ALTER ROLE hunter SET my.key = hunter", "ALTER ROLE <withheld>"),
    ("ALTER DATABASE hunter SET my.key = hunter", "ALTER DATABASE <withheld>"),
    ("ALTER SYSTEM SET my.key = hunter", "ALTER SYSTEM <withheld>"),
    ("CREATE USER MAPPING FOR hunter SERVER s", "CREATE USER MAPPING <withheld>"),
    ("ALTER SERVER s OPTIONS (SET host hunter)", "ALTER SERVER <withheld>"),
    ("CREATE FOREIGN DATA WRAPPER hunter", "CREATE FOREIGN DATA WRAPPER <withheld>"),
    ("CREATE SUBSCRIPTION s CONNECTION hunter", "CREATE SUBSCRIPTION <withheld>"),
    (
        "CREATE OR REPLACE FUNCTION f() BEGIN ATOMIC SELECT 1; SELECT hunter; END",
        "CREATE OR REPLACE FUNCTION <withheld>",
    ),
    ("CREATE PROCEDURE p() BEGIN ATOMIC CALL hunter(); END", "CREATE PROCEDURE <withheld>"),
    ("ALTER ROUTINE f() SET my.key TO hunter", "ALTER ROUTINE <withheld>"),
    ("DO $$ hunter $$", "DO <withheld>"),
    ("EXPLAIN (ANALYZE, FORMAT json) DO hunter", "DO <withheld>"),
    ("EXPLAIN  ANALYZE /* */ VERBOSE\n DO hunter", "DO <withheld>"),
    ("PREPARE x (numeric(1, 2)) AS DO hunter", "DO <withheld>"),
    ("COPY hunter FROM PROGRAM 'hunter'", "COPY <withheld>"),
    ("COPY (SELECT hunter FROM t) TO PROGRAM 'hunter'", "COPY <withheld>"),
    ("SELECT * FROM dblink(hunter, $1)", "SELECT <withheld>"),
    ('WITH x AS (SELECT ext."dblink_exec"(hunter)) SELECT 1', "WITH <withheld>"),
    ("dblink_connect(hunter)", "dblink_connect <withheld>"),
    ("SET my.key = hunter", "SET my.key <withheld>"),
    ("set my.key=hunter,hunter", "set my.key <withheld>"),
    ("SET SESSION my.key TO hunter; SELECT a", "SET SESSION my.key <withheld>; SELECT a"),
    ('SET "my;key" = "hunter;hunter" hunter; SELECT a', 'SET "my;key" <withheld>; SELECT a'),
    ("SET = hunter", "SET <withheld>"),
    ("SET ROLE hunter", "SET ROLE <withheld>"),
    ("SET SESSION AUTHORIZATION hunter", "SET SESSION AUTHORIZATION <withheld>"),
    ("\ufeffSET my.key = hunter", "\ufffdSET my.key <withheld>"),
    ("EXPLAIN SET my.key = hunter", "EXPLAIN SET my.key <withheld>"),
    ("SET my.ke\x00y = hunter", "SET my.ke <withheld>"),
]
SHOWN_WHOLE = [
    "INSERT INTO t VALUES ($1) ON CONFLICT DO NOTHING",
    "INSERT INTO t VALUES ($1) ON CONFLICT (a) DO UPDATE SET b = excluded.b",
    "EXPLAIN (ANALYZE) INSERT INTO t SELECT a AS do FROM u",
    "UPDATE users SET password = $1 WHERE role = $2",
    "SELECT create_role, alter_user FROM program",
    "COPY t (program) FROM STDIN",
    "GRANT a TO b",
    "ALTER TABLE t OWNER TO bob",
    "ALTER DEFAULT PRIVILEGES FOR ROLE a GRANT SELECT ON TABLES TO b",
    "CREATE INDEX CONCURRENTLY i ON t (role)",
    "SELECT my_dblinks FROM adblink",
    "autovacuum: VACUUM public.t (to prevent wraparound)",
    "<insufficient privilege>",
    "BEGIN; COMMIT;",
    "",
]


@pytest.mark.parametrize(
    ("text", "shown"),
    [*LITERALS, *NAMES, *COMMENTS, *UNENDED, *AMBIGUOUS, *WITHHELD],
    ids=lambda text: ascii(text)[:60],
)
def test_hostile_text_shows_only_what_is_safe(text, shown):
    result = redact(text)

    assert result == shown
    assert "hunter" not in result


@pytest.mark.parametrize("text", SHOWN_WHOLE)
def test_text_without_secrets_is_shown_whole(text):
    assert redact(text) == text


def test_long_result_is_cut_and_says_so():
    result = redact("SELECT a" + ", column_b" * 300)

    assert len(result) == SHOWN
    assert result.endswith("…")


def test_text_of_which_not_all_was_read_says_so():
    assert redact("SELECT '" + "x" * 1_000_000 + "', a") == "SELECT ?…"


@pytest.mark.fault("F50")
@pytest.mark.parametrize(
    "piece",
    ["'", '"', "$a", "$$", "/*", "(", ";", "a,", "1e", "\\'", "SET a;", "CREATE ", "COPY ", "dblin ", 'at "', "\ud800"],
)
@pytest.mark.parametrize("before", ["", "E'", "EXPLAIN ", "PREPARE a AS "])
def test_megabyte_takes_well_under_a_second(before, piece):
    text = before + piece * (1_000_000 // len(piece))
    start = time.perf_counter()

    redact(text), words(text), plain(text)

    assert time.perf_counter() - start < 0.5


MESSAGES = [
    ('relation "pg_stat_statements" does not exist', 'relation "pg_stat_statements" does not exist'),
    ('role "bob" does not exist, nor user "al-ice"', 'role "bob" does not exist, nor user "al-ice"'),
    ('connection to server at "::1", port 5432 failed', 'connection to server at "::1", port 5432 failed'),
    ('server on socket "/run/.s.PGSQL.5432" failed', 'server on socket "/run/.s.PGSQL.5432" failed'),
    ('invalid input syntax for type integer: "hunter"', 'invalid input syntax for type integer: "?"'),
    ('invalid value for parameter "work_mem": "hunter"', 'invalid value for parameter "work_mem": "?"'),
    ('value "hunter" is out of range for type integer', 'value "?" is out of range for type integer'),
    ('syntax error at or near "hunter"', 'syntax error at or near "?"'),
    ('missing "=" after "hunter" in connection info string', 'missing "?"'),
    ('could not translate host name "hunter@host"', 'could not translate host name "?"'),
    ('invalid URI "postgresql://bob:hunter@host"', 'invalid URI "?"'),
    ('invalid syntax: "a"hunter"b" here', 'invalid syntax: "?"'),
    ('invalid syntax: "column "hunter" hunter"', 'invalid syntax: "?"'),
    ('value "hunter\nhunter" is out of range', 'value "?" is out of range'),
    ('value "a"hunter DETAIL: hunter" is out of range', 'value "?"'),
    ('value "9" is out of range\nLINE 1: SELECT 9', 'value "?" is out of range'),
    ('value "a"hunter' + " " * 10_000 + '" is out of range', 'value "?"'),
    ('invalid syntax: "hunter', 'invalid syntax: "?"'),
    ('value "9" is out of range\nDETAIL: Key (a)=(x"hunter)', 'value "?"'),
    ("it isn't 'hunter', is it", 'it isn\'t "?", is it'),
    ("Relation »hunter« existiert nicht", 'Relation "?" existiert nicht'),
    ("l'extension « hunter » n'existe pas", 'l\'extension "?"'),
    ("关系 “hunter” 不存在", '关系 "?" 不存在'),
    (
        'duplicate key value violates constraint "k"\nDETAIL:  Key (a)=(hunter)',
        'duplicate key value violates constraint "k"',
    ),
    ('that "hunter" is bad', 'that "?" is bad'),
    ("bad value HINT:  Use hunter.", "bad value"),
    ("new row is bad DETAIL:  Failing row contains (hunter).", "new row is bad"),
    ("\n bad  thing\r\nLINE 1: SELECT hunter", "bad thing"),
    ("bad \x1b[31m\u202ething\x00", "bad [31m\ufffdthing"),
    ("", ""),
]


@pytest.mark.parametrize(("message", "shown"), MESSAGES, ids=lambda text: ascii(text)[:60])
def test_message_shows_names_and_no_values(message, shown):
    result = words(message)

    assert result == shown
    assert "hunter" not in result


@pytest.mark.fault("F48")
@pytest.mark.parametrize(
    ("text", "most", "shown"),
    [
        ("my 'quoted' \"name\": 42", 200, "my 'quoted' \"name\": 42"),
        ("\ta\r\nb\x00\x85c\u2028d ", 200, "a b c d"),
        ("a\u202eb\u2066c\u200fd\ud800e", 200, "a\ufffdb\ufffdc\ufffdd\ufffde"),
        ("مرحبا שלום größe 名前", 200, "مرحبا שלום größe 名前"),
        ("abcd", 4, "abcd"),
        ("abcde", 4, "abc…"),
        ("abcde", 1, "…"),
        (" " * 1_000_000 + "a", 200, "…"),
    ],
)
def test_name_is_shown_in_one_harmless_line(text, most, shown):
    assert plain(text, most) == shown


# Hidden text is made of Ж alone and nothing else holds one, so that a single letter that survives is a leak.
SPECIAL = "'\"\\$/*-;\n\r .,()?&EeUuNnXxBb019_aäÄ\u00a0\u202e\ud800\x00="
outside = st.text(st.sampled_from(SPECIAL) | st.characters(exclude_characters="Ж"), max_size=20)
inside = st.text(st.sampled_from(SPECIAL + "ЖЖЖЖ"), max_size=12).map(lambda text: "Ж" + text + "Ж")


def escape(text):
    return re.sub(r"(['\\])", r"\\\1", text)


hidden = st.one_of(
    st.builds(
        "{}'{}'".format,
        st.sampled_from(["", "b", "X", "n", "U&", "date"]),
        inside.map(lambda text: text.replace("'", "''")),
    ),
    st.builds("{}'{}'".format, st.sampled_from(["", "e", "E"]), inside.map(escape)),  # without E: the setting is off
    st.builds(
        "${0}${1}${0}$".format, st.sampled_from(["", "a", "ä_1"]), inside.map(lambda text: text.replace("$", ""))
    ),
    inside.map(lambda text: text.replace("*", "")).map("/*{0}/*{0} ***/Ж**/".format),
    inside.map(lambda text: re.sub(r"[\r\n]", "", text)).map("--{}\n".format),
    st.sampled_from(["; SET a =", "; set local a.b TO"]).map('{} "Ж;Ж", Ж'.format),
    st.sampled_from(["ALTER ROLE", "create user", "CREATE\nSERVER", "; DO", ", dblink"]).map("{} Ж, Ж".format),
)
before = st.lists(
    st.one_of(
        st.sampled_from(["SELECT a", "x.y", "$1", "||", "(", ")", ",", ";", "=", "12.5", "a$b$", "E", "U&", "\u00a0E"]),
        outside.map(lambda text: '"' + text.replace('"', '""') + '"'),
        outside.map(escape).map("E'{}'".format),
        outside.map(lambda text: "'" + text.replace("'", "''") + "'"),
        outside.map(lambda text: text.replace("*", "")).map("/*{}*/".format),
        outside.map(lambda text: text.replace("$", "")).map("$q${}$q$".format),
    ),
    max_size=5,
).map(" ".join)


@thoroughly
@given(before, hidden, outside, st.integers(0, 400))
def test_nothing_hidden_survives_wherever_the_text_is_cut(before, hidden, after, cut):
    text = f"{before} {hidden}{after}"

    result = redact(text[:cut])

    assert "Ж" not in result


@thoroughly
@given(st.lists(before | hidden | outside, max_size=8).map("".join), st.integers(1, 300))
@example("\ud800'\x00", 1)
def test_any_text_becomes_one_short_line_that_can_be_encoded(text, most):
    for line, limit in ((redact(text), SHOWN), (words(text, most), most), (plain(text, most), most)):
        assert len(line) <= limit
        assert line == " ".join(line.encode().decode().split())
        assert not re.search(r"[\x00-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\u200e\u200f]", line)


@thoroughly
@given(st.lists(before | hidden | outside, max_size=8).map("".join))
def test_second_reading_shows_nothing_new(text):
    once = redact(text)

    assert set(re.findall(r"\w+", redact(once))) <= set(re.findall(r"\w+", once)) | {"withheld"}


STATEMENTS = [
    "SELECT 'alpha', E'be\\'ta', U&'\\0067amma', $$delta$$, b'1010', x'BEEF', 1234, 1.5e10, .125, 0xBEEF FROM t",
    "INSERT INTO \"Order\" (id, \"O'Hara\") VALUES (12345, 'O''Hara') ON CONFLICT (id) DO UPDATE SET n = excluded.n",
    "WITH RECURSIVE r AS (SELECT 1000 AS n UNION ALL SELECT n+1 FROM r /* depth */) SELECT * FROM r WHERE n<2000--end",
    "SELECT a[1000:2000], b->>'path', c::numeric(1000,2), d @> '{\"a\": 1}' FROM t WHERE ts > now() - interval '1 day'",
    "UPDATE t SET a = CASE WHEN b ~ '^\\d+$' THEN $1 ELSE $2 END WHERE c IN ('x001', 'x002') RETURNING größe",
    "CREATE TABLE m PARTITION OF p FOR VALUES FROM ('2024-01-01') TO ('2024-02-01') WITH (fillfactor = 7000)",
    "CREATE RULE r AS ON INSERT TO t DO INSTEAD (SELECT 'rule'; SELECT 4321)",
    "EXPLAIN (ANALYZE, BUFFERS) SELECT count(*) FILTER (WHERE a = 'text') OVER (PARTITION BY b) FROM ONLY t",
]


def tokens(sql):
    """Return what the server's scanner reads in `sql`: texts to hide and to show (none if it refuses)."""
    parser = pytest.importorskip("pglast.parser", reason="pglast holds the server's scanner")
    try:
        read = [(sql[token.start : token.end + 1], token.name, token.kind) for token in parser.scan(sql)]
    except parser.ParseError:
        return [], []
    hide = [text for text, name, _ in read if name.endswith(("CONST", "COMMENT"))]
    show = [text for text, name, kind in read if name in ("IDENT", "UIDENT", "PARAM") or kind != "NO_KEYWORD"]
    return hide, show


@pytest.mark.parametrize("sql", STATEMENTS)
def test_constants_the_server_reads_are_hidden_and_names_shown(sql):
    hide, show = tokens(sql)

    result = redact(sql)

    assert [text for text in hide if len(text) > 3 and text in result] == []
    assert [text for text in show if text not in result] == []


@thoroughly
@given(st.lists(st.sampled_from(STATEMENTS).flatmap(lambda sql: st.sampled_from(sql.split(" ")))).map(" ".join))
def test_words_in_any_order_are_read_as_the_server_reads_them(sql):
    hide, show = tokens(sql)

    result = redact(sql)

    assert [text for text in hide if len(text) > 3 and text in result and text not in " ".join(show)] == []
