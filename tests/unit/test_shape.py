"""What a statement returned against what its row declares."""

from __future__ import annotations

import pytest

from pgmon import shape
from pgmon.errors import Kind, QueryError
from pgmon.feature import detail, label, row

BOOL, BIGINT, INT, TEXT, FLOAT, VARCHAR, NUMERIC, TEXTS = 16, 20, 23, 25, 701, 1043, 1700, 1009


@row
class Table:
    """A table."""

    relation: str = label("Table.")
    rows: int = detail("Rows.")
    seconds: float | None = detail("Age.", "seconds")


GOOD = [("relation", TEXT), ("rows", BIGINT), ("seconds", FLOAT)]


def refusal(described):
    with pytest.raises(QueryError) as caught:
        shape.check("tables", Table, described)
    assert caught.value.kind is Kind.BUG
    return str(caught.value)


def test_columns_that_are_the_fields_pass():
    shape.check("tables", Table, GOOD)


def test_an_integer_of_any_width_is_an_int():
    shape.check("tables", Table, [GOOD[0], ("rows", INT), GOOD[2]])


@pytest.mark.parametrize("oid", [NUMERIC, FLOAT, BOOL])
def test_a_column_of_another_type_than_int_is_refused(oid):
    assert refusal([GOOD[0], ("rows", oid), GOOD[2]]) == f"sql/tables: rows has a type (oid {oid}) that Table does not"


@pytest.mark.parametrize("oid", [NUMERIC, BIGINT])
def test_a_column_of_another_type_than_float_is_refused(oid):
    assert "seconds has a type" in refusal([*GOOD[:2], ("seconds", oid)])


@pytest.mark.parametrize("oid", [VARCHAR, TEXTS])
def test_a_column_of_another_type_than_text_is_refused(oid):
    assert "relation has a type" in refusal([("relation", oid), *GOOD[1:]])


@pytest.mark.parametrize(
    "described",
    [GOOD[:2], [*GOOD, ("more", TEXT)], [GOOD[1], GOOD[0], GOOD[2]], [("table", TEXT), *GOOD[1:]], []],
    ids=["missing", "more", "swapped", "renamed", "none"],
)
def test_columns_that_are_not_the_fields_in_their_order_are_refused(described):
    assert "Table has ['relation', 'rows', 'seconds']" in refusal(described)
