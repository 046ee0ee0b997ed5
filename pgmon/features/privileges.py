"""What the role of the DSN could write: the catalogue rows that the guard judges."""

from __future__ import annotations

from pgmon.feature import Tier, detail, feature, row


@row
class Privilege:
    """Something that the role may do, by itself, through a role it is a member of, or as everybody."""

    kind: str = detail("attribute, role, owner or relation.")
    privilege: str = detail("What it may do: INSERT, SUPERUSER, the name of a predefined role.")
    object: str = detail("To what; '' for an attribute or a role.")
    holder: str = detail("Through which role; PUBLIC is everybody.")
    role: str = detail("The role of the DSN.")


PRIVILEGES = feature("privileges", Tier.HOURLY, Privilege, panel="status")
