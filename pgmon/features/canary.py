"""What the server answers to questions that are always the same: pgmon times them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pgmon.feature import Feature, Tier, detail, feature, row


@row
class One:
    """The least that can be asked."""

    one: int = detail("The number 1.")


@row
class Plan:
    """A small plan, made and run."""

    query_plan: str = detail("A line of the plan.")


CANARY_SELECT = feature("canary_select", Tier.HOT_PATH, One, panel="status")
CANARY_EXPLAIN = feature("canary_explain", Tier.HOT_PATH, Plan, panel="status")
PROBES: Mapping[str, Feature[Any, Any]] = {"select": CANARY_SELECT, "explain": CANARY_EXPLAIN}
