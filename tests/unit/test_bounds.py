"""Bounds of partitions, and the intervals that they make."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pgmon.bounds import Default, Hash, Range, Values, common, joined, moment, number, parse, until

SPELT = {
    "DEFAULT": Default(),
    "FOR VALUES WITH (modulus 4, remainder 3)": Hash(4, 3),
    "FOR VALUES IN (1, 2, 3)": Values(("1", "2", "3")),
    "FOR VALUES IN ('a, b', 'c)', NULL)": Values(("a, b", "c)", None)),
    "FOR VALUES IN (true)": Values(("true",)),
    "FOR VALUES FROM (0) TO (100)": Range(("0",), ("100",)),
    "FOR VALUES FROM ('-5') TO ('9223372036854775807')": Range(("-5",), ("9223372036854775807",)),
    "FOR VALUES FROM (MINVALUE) TO ('2026-01-01')": Range((-math.inf,), ("2026-01-01",)),
    "FOR VALUES FROM ('MINVALUE') TO (MAXVALUE)": Range(("MINVALUE",), (math.inf,)),
    "FOR VALUES FROM ('2026-01-01 00:00:00+00', 7) TO ('2026-02-01 00:00:00+00', MAXVALUE)": Range(
        ("2026-01-01 00:00:00+00", "7"), ("2026-02-01 00:00:00+00", math.inf)
    ),
}


@pytest.mark.parametrize("text", SPELT)
def test_a_bound_is_read(text):
    assert parse(text) == SPELT[text]


@pytest.mark.parametrize("text", ["", "FOR VALUES FROM (1)", "FOR VALUES FROM () TO ()", "FOR VALUES IN ('a) TO"])
def test_what_is_no_bound_is_none(text):
    assert parse(text) is None


@given(st.text())
def test_no_text_raises(text):
    parse(text)
    moment(text)
    number(text)


@given(st.lists(st.text(), min_size=1))
def test_whatever_is_in_quotes_is_read_as_it_is(texts):
    quoted = ", ".join("'" + text.replace("'", "''") + "'" for text in texts)

    assert parse(f"FOR VALUES IN ({quoted})") == Values(tuple(texts))


@given(st.lists(st.integers(), min_size=1, max_size=4), st.lists(st.integers(), min_size=1, max_size=4))
def test_integers_are_read_with_and_without_quotes(lower, upper):
    bare, quoted = ", ".join(map(str, lower)), ", ".join(f"'{n}'" for n in upper)

    bound = parse(f"FOR VALUES FROM ({bare}) TO ({quoted})")

    assert ([number(v) for v in bound.lower], [number(v) for v in bound.upper]) == (lower, upper)


MOMENTS = {
    "1970-01-02": 86400.0,
    "1970-01-01 00:00:01.5": 1.5,
    "1970-01-01 02:00:00+02": 0.0,
    "1970-01-01 05:30:00+05:30": 0.0,
    "infinity": math.inf,
    "-infinity": -math.inf,
    "0044-03-15 BC": -math.inf,
    "294276-12-31": math.inf,
    "1000": None,
    "20260101": None,
    "12:00:00": None,
    "north-west": None,
    "0000-00-00": None,
}


@pytest.mark.parametrize("text", MOMENTS)
def test_a_moment_is_seconds_since_1970(text):
    assert moment(text) == MOMENTS[text]


intervals = st.lists(st.tuples(st.integers(-20, 20), st.integers(-20, 20)).filter(lambda i: i[0] < i[1]), max_size=8)


def points(of):
    return {n for start, end in of for n in range(start, end)}


@given(intervals)
def test_what_is_joined_covers_the_same_and_touches_nowhere(some):
    found = joined(some)

    assert points(found) == points(some)
    assert all(a[1] < b[0] for a, b in pairwise(found))


@given(intervals, intervals)
def test_what_is_common_is_in_both(a, b):
    assert points(common(joined(a), joined(b))) == points(a) & points(b)


@given(intervals, st.integers(-25, 25))
def test_until_is_the_first_uncovered_moment(some, now):
    covered, end = points(some), now
    while end in covered:
        end += 1

    assert until(joined(some), now) == end
