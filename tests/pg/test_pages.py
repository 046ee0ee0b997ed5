"""The pages and their JSON twins, of an agent that watches a real server."""

from __future__ import annotations

import re
from time import process_time

import html5lib
import pytest

import running
import servers
from fakes import HaltingTime, ShiftedTime
from pgmon.feature import columns
from pgmon.web import create_app, subjects
from pgmon.web.words import LENSES, PAGES, TWINS
from reading import agent as reading_agent
from reading import landed

XHTML, SVG = "{http://www.w3.org/1999/xhtml}", "{http://www.w3.org/2000/svg}"
DEAD = "postgresql://monitor@127.0.0.1:1/postgres"
PATHS = {page: "/" if page == "overview" else f"/{page}" for page in PAGES}


VIEWS = {page: [path, *(f"{path}?tab={tab}" for tab in LENSES.get(page, ()))] for page, path in PATHS.items()}


def on(*majors):
    """Run a test on servers of a few versions."""
    return pytest.mark.parametrize("pg_version", majors, ids="pg{}".format, indirect=True, scope="session")


newest, each_end = on(servers.NEWEST), on(12, servers.NEWEST)
each_page = pytest.mark.parametrize("page", PAGES)


@pytest.fixture
def lonely():
    """Return a client of an agent whose server is not there."""
    with running.agent(DEAD) as agent:
        agent.settle()
        yield create_app(agent).test_client()


def twin(client, page):
    answer = client.get(f"/api/v1/{TWINS.get(page, page)}")
    assert answer.status_code == 200
    return answer.json


def parsed(answer):
    """Return a page as a tree; a fault in its HTML fails the test."""
    assert answer.status_code == 200
    return html5lib.HTMLParser(strict=True).parse(answer.text)


def text_of(element):
    return "".join(element.itertext())


def sections(tree):
    """Return the panels of a page by id."""
    return {s.get("id"): s for s in tree.iter(f"{XHTML}section")}


def notes(tree):
    """Return what the panels that are not fresh say."""
    return {id: text_of(s.find(f".//{XHTML}p[@class='note']") or s) for id, s in sections(tree).items()}


def panels_of(client):
    return {id: panel for page in PAGES for id, panel in twin(client, page)["panels"].items()}


# --- pages and twins --------------------------------------------------------------------------------------------------


@each_end
@pytest.mark.parametrize("path", [path for paths in VIEWS.values() for path in paths])
def test_a_page_is_valid_and_small_and_has_every_id_once(client, path):
    answer = client.get(path)
    ids = [e.get("id") for e in parsed(answer).iter() if e.get("id")]

    assert len(answer.data) < 150_000
    assert len(ids) == len(set(ids))


@each_end
@each_page
def test_a_page_shows_the_panels_of_its_twin_in_their_states(client, page):
    trees = [parsed(client.get(path)) for path in VIEWS[page]]
    shown = {id: s.get("data-state") for tree in trees for id, s in sections(tree).items()}
    said = {id: p["status"] for id, p in twin(client, page)["panels"].items() if id not in subjects.WITHIN}

    assert said.items() <= shown.items()


@each_end
@each_page
def test_a_page_shows_the_statements_of_its_twin_and_what_to_ask_prometheus(client, page):
    shown = {text_of(code) for path in VIEWS[page] for code in parsed(client.get(path)).iter(f"{XHTML}code")}
    panels = [panel for id, panel in twin(client, page)["panels"].items() if id not in subjects.WITHIN]

    assert {panel["sql"] for panel in panels} - {""} <= shown
    assert {query for panel in panels for query in panel["promql"]} <= shown


@each_end
def test_the_api_tells_every_field_of_every_row(client, watching):
    features = {f.name: f for f in watching.features}
    for id, panel in panels_of(client).items():
        fields = {name for name, c in columns(features[id].row).items() if c.role != "kept"}
        for row in panel["data"]:
            assert set(row) - {"db"} == fields - {"db"}, id


@newest
def test_every_feature_with_a_panel_is_on_a_page(client, watching):
    missing = {f.name for f in watching.features if f.panel} - set(panels_of(client))

    assert missing == {"standby"}  # this server is a primary


@newest
def test_every_page_is_linked_from_the_first(client):
    links = {a.get("href") for a in parsed(client.get("/")).iter(f"{XHTML}a")}

    assert {"./", *(path[1:] for path in PATHS.values() if path != "/"), "metrics", "api/v1/overview"} <= links


@newest
def test_a_page_below_another_links_upwards(client):
    links = [a.get("href") for a in parsed(client.get("/alerts/BlockedSessions")).iter(f"{XHTML}a")]

    assert "../activity" in links
    assert not [link for link in links if link.startswith("/")]


@newest
def test_the_style_sheet_is_kept_as_long_as_it_is_the_same(client):
    [href] = [e.get("href") for e in parsed(client.get("/")).iter(f"{XHTML}link") if e.get("rel") == "stylesheet"]
    answer = client.get(f"/{href}")

    assert (answer.status_code, answer.mimetype) == (200, "text/css")
    assert "immutable" in answer.headers["Cache-Control"]
    assert client.get(f"{href.partition('?')[0]}").headers["Cache-Control"] == "no-cache"


@pytest.mark.fault("F59")
@newest
@pytest.mark.parametrize("path", ["/nothing", "/api/v1/nothing", "/api/v1/queries", "/static/x", "/queries/1"])
def test_what_is_not_there_is_not_found(client, path):
    assert client.get(path, headers={"Accept": "text/html"}).status_code == 404


@newest
def test_a_statement_has_a_page_of_its_own(client):
    queryid = twin(client, "queries")["panels"]["statements"]["data"][0]["queryid"]
    text = {t["queryid"]: t["query"] for t in twin(client, "queries")["panels"]["statement_texts"]["data"]}[queryid]
    codes = [text_of(code) for code in parsed(client.get(f"/queries/{queryid}")).iter(f"{XHTML}code")]

    assert text in codes


@pytest.mark.fault("F58")
@newest
@pytest.mark.parametrize("query", ["sort=locks.", "dir=up", "n=A", "refresh=1", "colour=red", "q=a&q=b", "wide=%22%3E"])
def test_a_parameter_that_is_not_taken_is_refused(client, query):
    answer = client.get(f"/activity?{query}")

    assert answer.status_code == 400
    assert "parameter" in answer.text


@newest
def test_a_table_is_sorted_by_the_column_asked_for(client):
    def entries(direction):
        page = parsed(client.get(f"/?sort=io.reads&dir={direction}&n=io&wide=io"))
        numbers = sections(page)["io"].findall(f".//{XHTML}tbody/{XHTML}tr")
        place = [text_of(h) for h in sections(page)["io"].iter(f"{XHTML}th")].index("Reads")
        return [row[place].get("title") for row in numbers if (row[place].get("title") or "").isdigit()]

    assert entries("desc") == sorted(entries("asc"), key=int, reverse=True)


@newest
def test_a_table_is_filtered_by_a_text(client):
    page = parsed(client.get("/status?q=pgmon_no_such_thing"))

    assert sections(page)["checks"].findall(f".//{XHTML}tbody/{XHTML}tr") == []


# --- what is not fresh ------------------------------------------------------------------------------------------------


@each_page
def test_without_a_server_a_page_renders_and_says_why(lonely, page):
    tree = parsed(lonely.get(PATHS[page]))

    assert "Database unreachable" in text_of(tree)
    states = {s.get("data-state") for id, s in sections(tree).items() if id in TOLD_BY_THE_SERVER}
    assert states <= {"error", "loading"}


TOLD_BY_THE_SERVER = {"locks", "connections", "throughput", "xmin", "replicas", "slots", "wal"}


def test_without_a_server_the_overview_does_not_call_it_healthy(lonely):
    tree = parsed(lonely.get("/"))

    assert text_of(tree.find(f".//{XHTML}h1")) == "pgmon was not seen yet"
    assert tree.find(f"{XHTML}body").get("data-state") == "crit"


@newest
def test_what_was_read_long_ago_is_stale_and_says_since_when(server):
    time = ShiftedTime()
    with reading_agent(server.dsn("monitor"), time.clock()) as agent:
        landed(agent)
        time.ahead += 45
        app = create_app(agent)
        agent.settle = lambda *_: None  # nobody comes to read
        said = notes(parsed(app.test_client().get("/activity")))

    assert re.match(
        "StaleRead (4[5-9]|5.)\u00a0s ago, due every 15\u00a0s[.]", said["locks"]
    )  # or later, where much runs


def test_without_pg_monitor_a_page_says_what_to_grant(fresh_server):
    server = fresh_server()
    with server.connect() as connection:
        connection.execute("REVOKE pg_monitor FROM monitor")
    with reading_agent(server.dsn("monitor")) as agent:
        client = create_app(landed(agent)).test_client()
        trees = {page: parsed(client.get(PATHS[page])) for page in PAGES}
    tree, overview = trees["activity"], trees["overview"]

    assert {page for page, tree in trees.items() if "Nothing can be read" not in text_of(tree)} == set()
    assert sections(tree)["locks"].get("data-state") == "degraded"
    assert text_of(overview.find(f".//{XHTML}h1")) == "pgmon cannot be read"
    assert 'GRANT pg_monitor TO "monitor";' in [text_of(code) for code in tree.iter(f"{XHTML}code")]


def test_without_pg_stat_statements_a_page_says_what_to_create(fresh_server):
    server = fresh_server()
    with server.connect() as connection:
        connection.execute("DROP EXTENSION pg_stat_statements")
    with reading_agent(server.dsn("monitor")) as agent:
        client = create_app(landed(agent)).test_client()
        trees = {page: parsed(client.get(PATHS[page])) for page in PAGES}
    tree = trees["queries"]

    assert sections(tree)["statements"].get("data-state") == "degraded"
    assert "CREATE EXTENSION pg_stat_statements;" in [text_of(code) for code in tree.iter(f"{XHTML}code")]
    assert sections(trees["overview"])["statements"].get("data-state") == "degraded"


@newest
def test_what_may_not_be_read_is_unknown_and_not_passed(client):
    tree = parsed(client.get("/storage"))
    check = next(li for li in tree.iter(f"{XHTML}li") if li.get("id") == "check-SequenceExhaustion")

    assert "unknown" in check.get("class")
    assert check.find(f".//{SVG}rect").get("fill") == "url(#hatch)"
    assert "cannot be read: 1 denied" in notes(tree)["sequences"]
    assert "GRANT SELECT ON ALL SEQUENCES IN SCHEMA public TO monitor;" in map(text_of, check.iter(f"{XHTML}code"))


@on(12)
def test_what_a_server_is_too_old_for_is_unsupported(client):
    said = notes(parsed(client.get("/")))

    assert said["io"].startswith("UnsupportedNeeds PostgreSQL 16; this server is 12.")


@newest
def test_a_standby_shows_its_own_side_of_replication(standby):
    with reading_agent(standby.dsn("monitor")) as agent:
        client = create_app(landed(agent)).test_client()
        trees = {page: parsed(client.get(PATHS[page])) for page in PAGES}

    assert "standby" in sections(trees["replication"])
    assert {p for p, tree in trees.items() if "standby" not in text_of(tree.find(f".//{XHTML}header"))} == set()
    assert "look at the primary" in text_of(trees["autovacuum"])


# --- pictures -------------------------------------------------------------------------------------------------------


@newest
def test_a_table_is_drawn_with_its_indexes(client):
    section = sections(parsed(client.get("/storage?n=sizes")))["sizes"]
    drawn = {text_of(row[0]): row.findall(f".//{SVG}rect") for row in section.iter(f"{XHTML}tr")}
    widths = {rect.get("class"): rect.get("width") for rect in drawn["public.device"]}

    assert [text_of(li).strip() for li in section.findall(f".//{XHTML}li")] == ["heap", "TOAST", "indexes"]
    assert widths.keys() >= {"s1", "s2", "s3"}
    assert widths["s3"] != "0%"


@newest
def test_a_statement_leads_to_the_tab_that_shows_its_rows(client):
    links = {a.get("href") for a in parsed(client.get("/sql")).iter(f"{XHTML}a")}

    assert {"autovacuum#xmin", "autovacuum?tab=freezing#freeze", "storage#sizes"} <= links


@newest
def test_what_fires_is_drawn_within_its_day(server):
    time = ShiftedTime()
    limits = {"ALERTS_DEAD_TUPLES_PCT": "1", "ALERTS_DEAD_TUPLES_MIN": "10"}
    with reading_agent(server.dsn("monitor"), time.clock(), **limits) as agent:
        landed(agent).tick()
        time.ahead += 43200
        landed(agent).tick()
        time.ahead += 21600
        landed(agent).tick()
        tree = parsed(create_app(agent).test_client().get("/alerts"))
    line = next(row for row in sections(tree)["alerts"].iter(f"{XHTML}tr") if "public.churned" in text_of(row))
    [span] = line.findall(f".//{SVG}rect[@class='sw']")

    assert text_of(tree.find(f".//{XHTML}h1")).endswith("firing")
    assert (span.get("x"), span.get("width")) == ("75%", "25%")


# --- statements -------------------------------------------------------------------------------------------------------


def statements(client):
    """Return every statement that the API shows as sent."""
    return {panel["sql"] for panel in panels_of(client).values()} - {""}


def test_the_statement_shown_is_the_statement_sent(fresh_server):
    server = fresh_server(settings={"log_statement": "all"})
    with reading_agent(server.dsn("monitor")) as agent:
        shown = statements(create_app(landed(agent)).test_client())
    logged = server.log().replace("\n\t", "\n")  # PostgreSQL indents the lines of an entry

    assert len(shown) > 8
    assert [sql for sql in shown if f"statement: {sql}\n" not in logged] == []


def test_a_page_sends_no_statement_while_what_it_shows_is_fresh(fresh_server):
    server, time = fresh_server(settings={"log_statement": "all"}), HaltingTime()
    with reading_agent(server.dsn("monitor"), time.clock()) as agent:
        client = create_app(landed(agent)).test_client()
        time.halt()
        before = server.log().count("statement: ")
        for page in PAGES:
            client.get(PATHS[page])
            twin(client, page)

        assert server.log().count("statement: ") == before


@newest
def test_the_catalogue_of_statements_has_each_that_was_sent(client):
    shown = {s["sql"] for s in twin(client, "sql")["statements"] if s["sent"]}

    assert statements(client) <= shown


# --- hostile names ----------------------------------------------------------------------------------------------------

HOSTILE = servers.HOSTILE_NAME


@pytest.mark.fault("F46", "F80")
@newest
def test_a_hostile_name_is_text_on_a_page(client):
    answer = client.get("/autovacuum?tab=freshness&n=freshness")
    texts = {text_of(th) for th in parsed(answer).iter(f"{XHTML}th")}

    assert "<b>é" in HOSTILE
    assert "<b>é" not in answer.text
    assert f"public.{HOSTILE}" in texts


@pytest.mark.fault("F46", "F80")
@newest
def test_a_hostile_filter_is_text_on_a_page(client):
    hostile = '"><script>alert(1)</script>{{7*7}}\u202e'
    answer = client.get("/autovacuum", query_string={"q": hostile, "tab": "freshness", "n": "freshness"})

    assert "<script>alert" not in answer.text
    assert parsed(answer) is not None


@pytest.mark.fault("F46", "F59")
@newest
def test_a_hostile_path_is_text_on_a_page(client):
    answer = client.get("/<script>alert(1)</script>", headers={"Accept": "text/html"})

    assert answer.status_code == 404
    assert "<script>alert" not in answer.text


# --- a page at its largest --------------------------------------------------------------------------------------------

CROWDED = """DO $$ BEGIN FOR n IN 1..60 LOOP
    EXECUTE format('CREATE TABLE table_with_quite_a_name_%s (id int PRIMARY KEY)', n);
END LOOP; END $$"""


@pytest.mark.slow
def test_a_page_is_small_and_quick_when_there_is_much_to_show(fresh_server):
    server, time = fresh_server(), HaltingTime()
    with server.connect(dbname="app") as connection:
        connection.execute(CROWDED)
    with reading_agent(server.dsn("monitor"), time.clock()) as agent:
        client = create_app(landed(agent)).test_client()
        time.halt()
        long = [(p, id) for p in PAGES for id, panel in twin(client, p)["panels"].items() if len(panel["data"]) > 12]
        sizes = {where: len(client.get(_at_length(*where)).data) for where in long}
        took = {path: min(_seconds(client, path) for _ in range(3)) for paths in VIEWS.values() for path in paths}

    assert {"sizes", "indexes", "freshness", "statements"} <= {id for _, id in long}
    assert {where: n for where, n in sizes.items() if n > 150_000} == {}
    assert {path: s for path, s in took.items() if s > 0.1} == {}


def _at_length(page, panel):
    """Return the way to a page with all rows of a panel."""
    tab = next((tab for tab, (_, its) in LENSES.get(page, {}).items() if panel in its), "")
    return f"{PATHS[page]}?n={panel}{f'&tab={tab}' if tab else ''}"


def _seconds(client, path):
    start = process_time()
    client.get(path)
    return process_time() - start


# --- what comes first -------------------------------------------------------------------------------------------------


@newest
def test_a_row_that_breaks_a_limit_comes_first(server):
    limits = {"ALERTS_DEAD_TUPLES_PCT": "1", "ALERTS_DEAD_TUPLES_MIN": "10"}
    with reading_agent(server.dsn("monitor"), **limits) as agent:
        tree = parsed(create_app(landed(agent)).test_client().get("/autovacuum"))
    first = sections(tree)["tuples"].find(f".//{XHTML}tbody/{XHTML}tr")

    assert (text_of(first[0]), first.get("class")) == ("public.churned", "warn")


@newest
def test_a_check_that_fails_says_what_to_run_and_links_to_its_rows(server):
    limits = {"ALERTS_DEAD_TUPLES_PCT": "1", "ALERTS_DEAD_TUPLES_MIN": "10"}
    with reading_agent(server.dsn("monitor"), **limits) as agent:
        tree = parsed(create_app(landed(agent)).test_client().get("/"))
    check = next(li for li in tree.iter(f"{XHTML}li") if li.get("id") == "check-DeadTuples")

    assert "public.churned" in text_of(check.find(f".//{XHTML}span[@class='say']"))
    assert "public" in "".join(text_of(code) for code in check.iter(f"{XHTML}code"))
    assert "autovacuum#tuples" in [a.get("href") for a in check.iter(f"{XHTML}a")]
