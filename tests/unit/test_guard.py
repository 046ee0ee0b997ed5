"""The verdict over a role's privileges."""

from __future__ import annotations

from dataclasses import replace

import pytest

from fakes import FACTS, FakeDoor, FakeTime
from pgmon.errors import Kind, QueryError
from pgmon.feature import Tier
from pgmon.features.privileges import Privilege
from pgmon.guard import Guard, judge

INSERT = Privilege("relation", "INSERT", "public.t", "monitor", "monitor")


@pytest.mark.parametrize(
    ("privilege", "severity", "cure"),
    [
        (Privilege("attribute", "SUPERUSER", "", "m", "m"), "refuse", "ALTER ROLE m NOSUPERUSER"),
        (Privilege("attribute", "CREATEROLE", "", "admins", "m"), "refuse", "REVOKE admins FROM m"),
        (Privilege("attribute", "BYPASSRLS", "", "m", "m"), "warn", "ALTER ROLE m NOBYPASSRLS"),
        (
            Privilege("role", "pg_write_all_data", "", "pg_write_all_data", "m"),
            "refuse",
            "REVOKE pg_write_all_data FROM m",
        ),
        (Privilege("role", "pg_read_all_data", "", "pg_read_all_data", "m"), "info", "REVOKE pg_read_all_data FROM m"),
        (Privilege("role", "pg_brand_new", "", "pg_brand_new", "m"), "warn", "REVOKE pg_brand_new FROM m"),
        (Privilege("role", "rds_superuser", "", "rds_superuser", "m"), "refuse", "REVOKE rds_superuser FROM m"),
        (Privilege("relation", "INSERT", "public.t", "PUBLIC", "m"), "refuse", "REVOKE INSERT ON public.t FROM PUBLIC"),
        (Privilege("relation", "DELETE", "s.t", 'Odd "r"', "m"), "refuse", 'REVOKE DELETE ON s.t FROM "Odd ""r"""'),
        (Privilege("owner", "OWNER", "s.t", "m", "m"), "refuse", "ALTER TABLE s.t OWNER TO another_role"),
    ],
)
def test_each_finding_has_its_severity_and_its_cure(privilege: Privilege, severity: str, cure: str):
    assert [(f.severity, f.cure) for f in judge([privilege])] == [(severity, cure)]


@pytest.mark.parametrize("role", ["pg_monitor", "pg_read_all_settings", "pg_read_all_stats", "pg_stat_scan_tables"])
def test_what_belongs_to_monitoring_is_no_finding(role: str):
    assert judge([Privilege("role", role, "", role, "m")]) == []


class Bench:
    """A guard over a fake door."""

    def __init__(self, *privileges: Privilege, enforce: bool = True) -> None:
        self.door = FakeDoor(lambda name: list(privileges))
        self.refused: list[bool] = []
        self.guard = Guard(self.door, enforce, FakeTime(), lambda: self.refused.append(True))

    def look(self):
        return self.guard.facts("", Tier.HOT_PATH, 2000.0)


def test_a_clean_role_is_judged_once_per_server():
    bench = Bench()

    bench.look()
    bench.look()

    assert len(bench.door.asked) == 1
    assert bench.guard.findings == []


def test_another_server_is_judged_anew():
    bench = Bench()
    bench.look()

    bench.door.seen = replace(FACTS, system_identifier="8")
    bench.look()

    assert len(bench.door.asked) == 2


def test_a_role_that_can_write_is_refused_every_time():
    bench = Bench(INSERT)

    for _ in range(2):
        with pytest.raises(QueryError, match=r"REVOKE INSERT ON public\.t FROM monitor") as caught:
            bench.look()

    assert caught.value.kind is Kind.REFUSED
    assert bench.refused == [True, True]


def test_not_enforced_the_findings_are_known_and_the_work_goes_on():
    bench = Bench(INSERT, enforce=False)

    bench.look()

    assert [f.severity for f in bench.guard.findings] == ["refuse"]
    assert bench.refused == []


def test_a_server_that_could_not_be_judged_is_not_asked():
    bench = Bench()

    def answer(name: str):
        raise QueryError(Kind.TIMEOUT, "too slow")

    bench.door.answer = answer
    with pytest.raises(QueryError):
        bench.look()
    with pytest.raises(QueryError):
        bench.look()

    assert bench.guard.findings is None


def test_a_long_list_is_shown_in_part():
    bench = Bench(*(replace(INSERT, object=f"public.t{n}") for n in range(30)))
    with pytest.raises(QueryError):
        bench.look()

    assert "… and 10 more" in bench.guard.verdict
