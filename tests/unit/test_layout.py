"""How partitions lie."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest

from pgmon.bounds import parse
from pgmon.layout import ALWAYS, Layout, Part

DAY = 86400.0


def spans(*edges: object) -> list[str]:
    """Return the bounds of ranges from one edge to the next; None between two of them leaves one out."""
    return [f"FOR VALUES FROM ({a}) TO ({b})" for a, b in pairwise(edges) if a is not None and b is not None]


def days(*numbers: int | None) -> list[str]:
    return spans(*(n if n is None else f"'1970-01-{n + 1:02}'" for n in numbers))


def layout(bounds: list[str], category: str | None = "D", strategy: str = "r", rows: dict[int, int] | None = None):
    return Layout(strategy, category, [Part(parse(b), (rows or {}).get(n, 0)) for n, b in enumerate(bounds)])


def above(bounds: list[str], below: list[Layout], category: str | None = "S", strategy: str = "l", rows: int = 0):
    return Layout(strategy, category, [Part(parse(b), rows, s) for b, s in zip(bounds, below, strict=True)])


def test_ranges_that_touch_cover_one_interval():
    assert layout(days(0, 1, 2, 3)).coverage() == [(0, 3 * DAY)]


def test_default_covers_nothing():
    assert layout([*days(0, 1), "DEFAULT"]).coverage() == [(0, DAY)]


def test_a_gap_lies_between():
    lying = layout(days(0, 1, 2, None, 3, 4))

    assert lying.gaps("times") == [(2 * DAY, 3 * DAY)]
    assert lying.coverage() == [(0, 2 * DAY), (3 * DAY, 4 * DAY)]


def test_the_order_of_creation_does_not_matter():
    assert layout(list(reversed(days(0, 1, 2, 3)))).gaps("times") == []


@pytest.mark.parametrize("bounds", [["FOR VALUES IN (1)"], ["FOR VALUES WITH (modulus 2, remainder 0)"], []])
def test_list_and_hash_do_not_depend_on_time(bounds):
    lying = layout(bounds, "N", "l")

    assert lying.coverage() == ALWAYS
    assert lying.gaps("times", "numbers") is None
    assert lying.empty_ahead() is None


def test_ranges_of_texts_are_not_understood():
    lying = layout(spans("'a'", "'m'", "'z'"), "S")

    assert lying.coverage() == ALWAYS
    assert lying.gaps("times", "numbers") is None


def test_ranges_of_an_expression_are_of_times_when_they_look_so():
    assert layout(days(0, 1), None).coverage() == [(0, DAY)]
    assert layout(spans(0, 10), None).coverage() == ALWAYS


def test_ranges_of_the_time_of_day_do_not_end():
    assert layout(spans("'00:00:00'", "'12:00:00'")).coverage() == ALWAYS


def test_a_table_by_time_without_partitions_covers_nothing():
    assert layout([]).coverage() == []


def test_maxvalue_covers_for_ever():
    assert layout(spans("'1970-01-01'", "MAXVALUE")).coverage() == [(0, math.inf)]


def test_a_key_of_several_columns_counts_by_its_first():
    lying = layout(spans("'1970-01-01', MINVALUE", "'1970-01-02', MINVALUE", "'1970-01-03', MINVALUE"))

    assert lying.coverage() == [(0, 2 * DAY)]
    assert lying.gaps("times") == []


def test_the_later_columns_of_a_key_can_have_a_gap():
    lying = layout(spans("'1970-01-01', 0", "'1970-01-01', 9", None, "'1970-01-01', 10", "'1970-01-02', 0"))

    assert len(lying.gaps("times")) == 1


def test_below_a_list_the_shortest_counts():
    lying = above(["FOR VALUES IN ('a')", "FOR VALUES IN ('b')"], [layout(days(0, 1, 2, 3)), layout(days(0, 1))])

    assert lying.coverage() == [(0, DAY)]


def test_below_a_range_of_time_only_the_time_of_that_range_counts():
    lying = above(days(0, 2, 4), [layout(days(0, 1, 2)), layout(days(2, 3))], "D", "r")

    assert lying.coverage() == [(0, 3 * DAY)]


def test_below_a_range_of_numbers_the_uppermost_with_rows_counts():
    old, new = layout(days(0, 1)), layout(days(5, 6))
    parts = [Part(parse(b), 1, s) for b, s in zip(spans(0, 10, 20), [old, new], strict=True)]

    assert Layout("r", "N", parts).coverage() == [(5 * DAY, 6 * DAY)]


def test_the_width_is_the_median_of_the_last_twelve():
    assert layout(days(0, 10, 20, *range(21, 30))).width(math.nan) == DAY


def test_the_width_is_that_of_the_table_whose_ranges_end_there():
    lying = above(days(0, 4, 8), [layout(days(0, 1, 2, 3, 4)), layout(days(4, 5))], "D", "r")

    assert lying.width(5 * DAY) == DAY
    assert lying.width(8 * DAY) == 4 * DAY


def test_endless_ranges_have_no_width():
    assert layout(spans("MINVALUE", "'1970-01-02'")).width(DAY) is None


def test_the_ends_are_those_of_partitions_with_rows():
    lying = above(days(0, 4, 8), [layout(days(0, 1, 2)), layout(["DEFAULT"], "N", "h")], "D", "r")

    assert sorted(lying.ends()) == [DAY, 2 * DAY, 8 * DAY]


def test_empty_ranges_above_the_uppermost_with_rows_lie_ahead():
    assert layout(spans(0, 10, 20, 30, 40), "N", rows={0: 5, 1: 1}).empty_ahead() == 2


def test_all_ranges_lie_ahead_of_nothing():
    assert layout(spans(0, 10, 20), "N").empty_ahead() == 2


def test_numbers_without_an_end_and_keys_of_several_columns_have_nothing_ahead():
    assert layout(spans(0, 10, "MAXVALUE"), "N").empty_ahead() is None
    assert layout(spans("0, 0", "9, 0"), "N").empty_ahead() is None


def test_rows_in_default_are_added_up_over_the_levels():
    lying = above(["FOR VALUES IN ('a')", "DEFAULT"], [layout(["DEFAULT"], rows={0: 3}), layout(days(0, 1))], rows=4)

    assert (lying.default_rows("r"), lying.default_rows("rlh")) == (3, 7)
    assert layout(days(0, 1)).default_rows("rlh") is None
