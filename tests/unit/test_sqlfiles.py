"""Choosing and filling the SQL files."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pgmon import sqlfiles
from pgmon.errors import Kind, QueryError
from pgmon.sqlfiles import Variant, assumed, choose, fill


def test_the_greatest_server_version_that_fits_is_chosen():
    assert choose("checkpoints", assumed(16)).least == (12,)
    assert choose("checkpoints", assumed(18)).least == (17,)


def test_the_extension_decides_not_the_server():
    upgraded = replace(assumed(18), extensions={"pg_stat_statements": ["1.7", "public"]})

    assert "total_time" in choose("statements", upgraded).text


def test_versions_compare_as_numbers_not_as_text():
    variant = Variant("pgss", (1, 9), "")

    assert variant.serves(replace(assumed(18), extensions={"pg_stat_statements": ["1.10", "public"]}))


def test_a_variant_by_extension_beats_one_by_server(tmp_path, monkeypatch):
    for name in ("f.sql", "f.pg16.sql", "f.pgss1.8.sql"):
        (tmp_path / name).write_text(name)
    monkeypatch.setattr(sqlfiles, "FOLDER", tmp_path)
    sqlfiles.variants.cache_clear()

    assert choose("f", assumed(18)).text == "f.pgss1.8.sql"
    sqlfiles.variants.cache_clear()


def test_of_two_extensions_the_preferred_one_decides_whatever_their_versions(tmp_path, monkeypatch):
    for name in ("f.sql", "f.pgstattuple1.5.sql", "f.pg_freespacemap1.2.sql"):
        (tmp_path / name).write_text(name)
    monkeypatch.setattr(sqlfiles, "FOLDER", tmp_path)
    sqlfiles.variants.cache_clear()
    both = {"pgstattuple": ["1.5", "public"], "pg_freespacemap": ["1.2", "public"]}
    old = {**both, "pg_freespacemap": ["1.1", "public"]}

    assert choose("f", replace(assumed(18), extensions=both)).text == "f.pg_freespacemap1.2.sql"
    assert choose("f", replace(assumed(18), extensions=old)).text == "f.pgstattuple1.5.sql"
    sqlfiles.variants.cache_clear()


def test_a_server_older_than_every_variant_is_told_what_it_needs(tmp_path, monkeypatch):
    (tmp_path / "f.pg16.sql").write_text("SELECT 1")
    monkeypatch.setattr(sqlfiles, "FOLDER", tmp_path)
    sqlfiles.variants.cache_clear()

    with pytest.raises(QueryError, match="needs PostgreSQL 16; this server is 12") as caught:
        choose("f", assumed(12))
    assert caught.value.kind is Kind.UNSUPPORTED
    sqlfiles.variants.cache_clear()


@pytest.mark.parametrize("file", ["f.later.sql", "f.pgvector1.0.sql"])
def test_a_file_whose_bound_nobody_understands_is_an_error(tmp_path, monkeypatch, file):
    (tmp_path / file).write_text("SELECT 1")
    monkeypatch.setattr(sqlfiles, "FOLDER", tmp_path)
    sqlfiles.variants.cache_clear()

    with pytest.raises(ValueError, match="is not understood"):
        sqlfiles.variants("f")
    sqlfiles.variants.cache_clear()


@pytest.mark.parametrize(
    "kept",
    [
        "SELECT ':n'",
        "SELECT 'it''s :n'",
        'SELECT ":n"',
        "SELECT 1 -- :n",
        "SELECT /* :n */ 1",
        "SELECT n::int",
    ],
)
def test_variables_are_left_alone_where_psql_leaves_them(kept: str):
    assert fill(kept, {"n": 5}, {}) == kept


def test_a_schema_with_a_quote_in_its_name_stays_one_identifier():
    assert fill('SELECT * FROM :"pgss".t', {}, {"pgss": 'a"b'}) == 'SELECT * FROM "a""b".t'


def test_only_integers_get_into_a_statement():
    with pytest.raises(ValueError, match="invalid literal"):
        fill("SELECT * WHERE i = ANY (:ids)", {"ids": ["1}'; DROP TABLE t; --"]}, {})


def test_a_missing_extension_is_said_with_its_cure():
    with pytest.raises(QueryError, match="CREATE EXTENSION pg_stat_statements") as caught:
        fill('SELECT * FROM :"pgss".t', {}, {})
    assert caught.value.kind is Kind.MISSING


def test_a_variable_nobody_gave_is_an_error():
    with pytest.raises(KeyError):
        fill("SELECT :n", {}, {})
