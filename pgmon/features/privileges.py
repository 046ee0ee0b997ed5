"""What the role of the DSN could write, in the cluster and in each database: what the guard judges."""

from __future__ import annotations

from pgmon.feature import Feature, Scope, Tier
from pgmon.findings import Finding, Privilege, judge

PRIVILEGES = Feature("privileges", Tier.HOURLY, Privilege, Finding, judge, panel="status")
GRANTS = Feature("grants", Tier.HOURLY, Privilege, Finding, judge, scope=Scope.DATABASE, panel="status")
