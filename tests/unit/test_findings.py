"""How grave a privilege is, and what takes it away; tests/pg/test_privileges.py runs every cure on real servers."""

from __future__ import annotations

import pytest

from pgmon.config import Config
from pgmon.findings import Finding, Privilege, judge

LEAVE = ["REVOKE writers FROM agent"]


def privilege(kind: str, *privileges: str, on="", database="", holder="agent", grantor="", leave=(), remark=""):
    return Privilege(kind, list(privileges), on, database, holder, grantor, list(leave), remark)


INSERT = privilege("table", "INSERT", on="public.t", database="app")
IN_PUBLIC = privilege("schema", "CREATE", on="public", database="app", holder="PUBLIC")


def judged(*privileges: Privilege, **config) -> list[Finding]:
    return judge(privileges, None, Config.model_validate(config))


def only(*privileges: Privilege, **config) -> Finding:
    [finding] = judged(*privileges, **config)
    return finding


def test_a_finding_names_object_database_and_cure():
    cure = "REVOKE INSERT ON TABLE public.t FROM agent"

    assert only(INSERT) == Finding("refuse", "INSERT", "table public.t", "app", cure)


def test_whoever_writes_through_a_role_is_told_to_leave_it_and_not_to_take_its_grants():
    through = privilege("table", "INSERT", on="public.t", holder="writers", leave=LEAVE)

    assert (only(through).what, only(through).cure) == ("INSERT through writers", "REVOKE writers FROM agent")


def test_every_membership_that_leads_to_a_role_is_ended():
    through = privilege(
        "table", "INSERT", on="public.t", holder="writers", leave=["REVOKE a FROM m", "REVOKE b FROM m"]
    )

    assert only(through).cure == "REVOKE a FROM m; REVOKE b FROM m"


def test_pg_monitor_is_not_left_but_loses_the_grant():
    through = privilege("table", "INSERT", on="public.t", holder="pg_monitor")

    assert (only(through).what, only(through).cure) == (
        "INSERT through pg_monitor",
        "REVOKE INSERT ON TABLE public.t FROM pg_monitor",
    )


def test_only_the_grantor_can_take_a_grant_back():
    granted = privilege("table", "INSERT", on="public.t", grantor='"user"')

    assert only(granted).cure == 'SET ROLE "user"; REVOKE INSERT ON TABLE public.t FROM agent; RESET ROLE'


@pytest.mark.parametrize(
    ("role", "severities"),
    [
        ("pg_write_all_data", ["refuse"]),
        ("rds_superuser", ["refuse"]),
        ("pg_brand_new", ["warn"]),
        ("pg_read_server_files", ["warn"]),
        ("pg_read_all_data", ["info"]),
        ("writers", []),
    ],
)
def test_a_membership_is_as_grave_as_its_role(role, severities):
    assert [f.severity for f in judged(privilege("membership", role, holder=role, leave=LEAVE))] == severities


def test_privileges_of_one_object_are_told_apart_by_how_grave_they_are():
    found = judged(privilege("parameter", "ALTER SYSTEM", "SET", on="work_mem"))

    assert [(f.severity, f.what) for f in found] == [("refuse", "ALTER SYSTEM"), ("warn", "SET")]


def test_the_gravest_come_first():
    found = judged(privilege("role", "BYPASSRLS"), INSERT)

    assert [f.severity for f in found] == ["refuse", "warn"]


def test_the_superuser_that_initdb_made_is_not_to_be_degraded():
    bootstrap = privilege("role", "SUPERUSER", on="postgres", holder="postgres", remark="made by initdb")

    assert only(bootstrap).cure.startswith("CREATE ROLE pgmon LOGIN")


# --- what is tolerated ------------------------------------------------------------------------------------------------


def test_what_everybody_may_do_in_public_is_refused():
    assert (only(IN_PUBLIC).severity, only(IN_PUBLIC).cure) == (
        "refuse",
        "REVOKE CREATE ON SCHEMA public FROM PUBLIC",
    )


def test_creation_in_public_by_everybody_can_be_tolerated_and_says_so():
    found = only(IN_PUBLIC, security={"tolerate": ("public_schema_create",)})

    assert (found.severity, found.what) == ("info", "CREATE as everybody: tolerated")


def test_creation_in_public_by_the_role_itself_is_not_tolerated_with_it():
    own = privilege("schema", "CREATE", on="public")

    assert only(own, security={"tolerate": ("public_schema_create",)}).severity == "refuse"


def test_one_privilege_of_an_object_can_be_tolerated():
    both = privilege("table", "INSERT", "UPDATE", on="public.t")

    found = judged(both, security={"tolerate": ("public.t:INSERT",)})

    assert [(f.severity, f.what) for f in found] == [("refuse", "UPDATE"), ("info", "INSERT: tolerated")]


def test_a_column_is_tolerated_with_its_table():
    column = privilege("table", 'UPDATE ("b, c")', on="public.t")

    assert only(column, security={"tolerate": ("public.t:UPDATE",)}).severity == "info"


# --- databases --------------------------------------------------------------------------------------------------------

CONNECT = privilege("database", "CONNECT", "TEMPORARY", on="app", database="app", holder="PUBLIC")
WITHIN = privilege("objects", "GRANTS", database="app")


def test_a_database_that_is_visited_is_no_finding():
    assert [f.what for f in judged(CONNECT, WITHIN)] == ["TEMPORARY as everybody"]


def test_a_database_that_is_not_visited_is_said():
    found = judged(CONNECT, databases={"exclude": ("app",)})

    assert [f.what for f in found] == ["CONNECT as everybody: not looked into by pgmon", "TEMPORARY as everybody"]


def test_a_database_beyond_the_limit_is_not_visited():
    others = [privilege("database", "CONNECT", on=db, database=db, holder="PUBLIC") for db in ("a", "app")]

    found = judged(*others, WITHIN, limits={"databases": 1})

    assert [(f.severity, f.database) for f in found] == [("refuse", "app"), ("info", "app")]
