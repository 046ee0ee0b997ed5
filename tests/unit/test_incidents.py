"""What incidents declare, without a server."""

from __future__ import annotations

import re

import pytest

from pgmon.incidents import INCIDENTS, cluster, relations, sessions
from pgmon.incidents.scene import Incident


@pytest.mark.parametrize("incident", INCIDENTS, ids=lambda i: i.name)
def test_it_says_in_sentences_what_it_is_and_names_alerts(incident):
    alerts = (incident.alert, *incident.consequences)

    assert incident.what.endswith(".")
    assert "\n" not in incident.what
    assert all(re.fullmatch("([A-Z][a-z]+)+", alert) for alert in alerts)
    assert len(set(alerts)) == len(alerts)


def test_each_is_listed_once():
    defined = [i for module in (sessions, relations, cluster) for i in vars(module).values() if isinstance(i, Incident)]

    assert sorted(i.name for i in INCIDENTS) == sorted(i.name for i in defined)
