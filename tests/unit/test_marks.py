"""Bars, sparklines and strips: what they draw, and that unknown is never drawn as zero."""

from __future__ import annotations

import re
from xml.etree import ElementTree

import pytest

from pgmon.web import marks
from pgmon.web.marks import Slice

HATCHED = 'fill="url(#hatch)"'


def rects(svg, kind):
    """Return the rectangles of a class."""
    return [r.attrib for r in ElementTree.fromstring(str(svg)).iter("rect") if r.get("class") == kind]


def test_what_is_not_known_is_hatched_and_not_filled():
    bar = marks.bar(None, [66.7])

    assert HATCHED in bar
    assert rects(bar, "f") == []


@pytest.mark.parametrize(("share", "width"), [(0, "0%"), (41.27, "41.3%"), (250, "100%"), (-3, "0%")])
def test_a_bar_stays_in_its_track(share, width):
    [filled] = rects(marks.bar(share), "f")

    assert filled["width"] == width


def test_of_two_limits_the_graver_stands_out():
    minor, major = rects(marks.bar(10, [16.7, 66.7]), "m")

    assert (minor["x"], major["x"], "y" in minor, "y" in major) == ("16.7%", "66.7%", False, True)


def test_a_line_is_broken_and_hatched_where_nothing_was_read():
    line = marks.spark([1, 2, None, None, 5, 6], "a line")

    assert line.count("M") == 3  # two pieces, and the dot at the end
    assert line.count(HATCHED) == 1


def test_a_line_that_ends_in_the_unknown_has_no_dot():
    line = marks.spark([1, 2, 3, None], "a line")

    assert 'class="e"' not in line
    assert line.count(HATCHED) == 1


@pytest.mark.parametrize("values", [[], [1.0], [None, 2.0, None], [None, None]])
def test_one_point_is_no_line(values):
    assert marks.spark(values, "a line") == ""


def test_a_limit_far_away_does_not_flatten_the_line():
    assert 'class="m"' in marks.spark([1, 2, 3], "a line", limit=4)
    assert 'class="m"' not in marks.spark([1, 2, 3], "a line", limit=400)


def test_texts_in_marks_are_escaped():
    hostile = "\"><script>'{{7*7}}"
    drawn = marks.strip([Slice(0, 10, 1, "p", hostile)], [], 5, [(0, "start", hostile)], hostile)

    assert "<script>" not in drawn + marks.spark([1, 2], hostile)
    assert ElementTree.fromstring(str(drawn)).get("aria-label") == hostile


def test_no_mark_needs_an_inline_style():
    drawn = marks.spark([1, None, 2], "x", 2) + marks.bar(3, [1, 2], "warn") + marks.stack([(3, "s1")], [80])

    assert not re.search(r"style=|on\w+=", drawn)
