"""What the README says is so."""

from __future__ import annotations

import re

import readme


def test_the_table_of_metrics_is_that_of_the_catalogue():
    text = readme.README.read_text(encoding="utf-8")

    assert readme.with_table(text) == text, "run: python tests/readme.py"


def test_every_file_it_links_to_is_there():
    text = readme.README.read_text(encoding="utf-8")
    links = re.findall(r"\]\((?!https?:|#)([^)]+)\)", text)

    assert links
    assert [link for link in links if not (readme.README.parent / link).exists()] == []
