"""The pages in a real browser, of a server on which things go wrong."""

from __future__ import annotations

import pytest
from playwright.sync_api import expect

from browsing import AXE
from pgmon.web.words import LENSES, PAGES

TABS = [f"/{page}?tab={tab}" for page, tabs in LENSES.items() for tab in list(tabs)[1:]]
PATHS = ["/" if page == "overview" else f"/{page}" for page in PAGES] + ["/alerts/BlockedSessions", *TABS]
each_page = pytest.mark.parametrize("path", PATHS)

PHONE = 360
SIDEWAYS = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
BEGIN_AXE = "only => { window.axed = axe.run(document, {runOnly: only, resultTypes: ['violations']}); }"
# What is closed is looked at all the same; its colours are thousands of elements that nobody sees.
PLAIN = "for (const code of document.querySelectorAll('details:not([open]) code')) code.textContent += ''"
EVERYTHING = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
OF_LOOKS = ["color-contrast", "target-size", "scrollable-region-focusable"]  # what themes and widths may change


def violations(looks):
    """Return what axe finds on pages, each with its rules: they are in processes of their own, and run side by side."""
    for page, only in looks.items():
        page.locator("#every").select_option("off")
        page.evaluate(AXE.read_text())  # not by a script element, which the page forbids
        page.evaluate(PLAIN)
        page.evaluate(BEGIN_AXE, only)
    found = [violation for page in looks for violation in page.evaluate("window.axed")["violations"]]
    return [(v["id"], n["html"][:150], n["failureSummary"]) for v in found for n in v["nodes"][:3]]


@each_page
def test_a_page_is_accessible_and_calm_in_both_themes_and_widths(visit, path):
    desk, phone = visit(), visit(PHONE, dark=True)
    looks = {desk.goto(path): EVERYTHING, phone.goto(path): OF_LOOKS}
    sideways = [page.evaluate(SIDEWAYS) for page in looks]

    assert violations(looks) == []
    assert sideways == [0, 0]
    assert desk.odd + phone.odd == []


@each_page
def test_a_page_works_without_script(visit, path):
    visitor = visit(javascript=False)
    page = visitor.goto(path)

    assert page.locator("h1").is_visible()
    assert not page.locator(".tools").is_visible()
    assert page.locator("main section.panel, main p").count() > 0
    assert visitor.odd == []


def test_without_script_a_filter_and_a_sorted_column_are_links_and_forms(visit):
    page = visit(javascript=False).goto("/status")
    page.locator("#checks input[type=search]").fill("canary_explain")
    page.locator("#checks input[type=search]").press("Enter")

    assert "q=canary_explain" in page.url
    assert page.locator("#checks tbody th").all_inner_texts() == ["canary_explain"]
    page.locator("#checks thead a", has_text="Status").click()
    assert page.locator("#checks th[aria-sort]").inner_text() == "Status"


@pytest.mark.fault("F46", "F63", "F80")
def test_hostile_names_are_text(visit):
    visitor = visit()
    page = visitor.goto("/autovacuum?tab=freshness&n=freshness")

    names = page.locator("#freshness tbody th").all_inner_texts()
    assert {"public.<script>window.hacked=1</script>", "public.{{7*7}}", f"public.{'😀' * 15}"} <= set(names)
    assert page.locator(".top b").inner_text() == "<b>prod</b>"
    assert page.evaluate("window.hacked") is None


def test_a_hostile_name_is_text_in_a_picture(visit):
    visitor = visit()
    page = visitor.goto("/partitions")
    drawn = page.locator(".strip").evaluate_all("all => all.map((e) => e.getAttribute('aria-label'))")

    assert any(words.startswith("public.<svg onload=window.hacked=1>{{7*7}}: ") for words in drawn)
    assert page.evaluate("window.hacked") is None
    assert visitor.odd == []


def test_the_blocking_tree_shows_who_is_at_its_root(visit, site):
    page = visit().goto("/activity")
    root = page.locator(".tree > li").first

    assert "blocks" in root.locator(".node").first.inner_text()
    assert root.locator("ol > li").count() >= 1


def test_a_refresh_in_place_keeps_what_is_open_focused_and_scrolled(visit):
    page = visit(width=PHONE).goto("/activity")
    page.locator("#blocking details.sql summary").click()
    page.locator("#sessions .scroll").evaluate("e => { e.scrollLeft = 60; }")
    page.locator("#sessions .tabs a").nth(1).focus()
    top = page.evaluate("scrollY")
    with page.expect_response(f"{page.url}"):
        page.keyboard.press("r")
    page.evaluate("new Promise(requestAnimationFrame)")

    assert page.locator("#blocking details.sql").get_attribute("open") is not None
    assert page.locator("#sessions .scroll").evaluate("e => e.scrollLeft") == 60
    assert page.evaluate("document.activeElement.textContent").startswith("Active")
    assert page.evaluate("scrollY") == top


def test_a_tab_is_followed_in_place(visit):
    page = visit().goto("/activity")
    page.evaluate("window.same = true")
    page.locator("#sessions .tabs a", has_text="Idle in transaction").click()
    current = page.locator("#sessions .tabs a[aria-current]")

    expect(current).to_contain_text("Idle in transaction")
    assert page.evaluate("window.same") is True
    page.go_back()
    expect(current).to_contain_text("All")


def test_a_filter_acts_while_it_is_typed(visit):
    page = visit().goto("/status")
    page.locator("#checks input[type=search]").type("canary_explain")
    expect(page.locator("#checks tbody tr")).to_have_count(1)

    assert page.evaluate("document.activeElement.value") == "canary_explain"


def test_a_theme_is_chosen_and_remembered(visit):
    page = visit().goto("/")
    page.locator("#theme").click()
    page.locator("#theme").click()
    page.reload()

    assert page.evaluate("document.documentElement.dataset.theme") == "dark"
    assert page.locator("#theme").get_attribute("aria-label") == "Theme: dark"


def test_a_statement_is_copied(visit):
    page = visit().goto("/activity")
    page.locator("#blocking details.sql summary").click()
    page.locator("#blocking .copy").click()
    page.locator("#said:not(:empty)").wait_for()

    assert page.evaluate("navigator.clipboard.readText()") == page.locator("#blocking pre").inner_text()


def test_keys_lead_to_pages_and_open_the_statements(visit):
    page = visit().goto("/")
    page.keyboard.press("s")
    assert page.locator("details.sql[open]").count() == page.locator("details.sql").count() > 0
    page.keyboard.press("7")
    page.wait_for_url("**/activity")


def test_keys_lead_from_row_to_row_and_open_what_is_there(visit):
    page = visit().goto("/")
    page.keyboard.press("j")
    first = page.locator("main summary").first
    expect(first).to_be_focused()
    page.keyboard.press("Enter")
    assert first.locator("..").get_attribute("open") is None
    page.keyboard.press("j")
    page.keyboard.press("k")
    expect(first).to_be_focused()


def test_a_refresh_waits_while_somebody_types_and_says_so(visit):
    page = visit().goto("/status")
    page.keyboard.press("/")

    expect(page.locator("body")).to_have_class("paused")


def test_a_statement_leads_to_a_page_of_its_own(visit):
    visitor = visit()
    page = visitor.goto("/queries")
    page.locator("#statements tbody a").first.click()
    expect(page.locator("h1")).to_contain_text("Query")

    assert violations({page: EVERYTHING}) == []
    assert visitor.odd == []


def test_a_link_to_something_closed_opens_it(visit):
    page = visit().goto("/#passed")

    assert page.locator("#passed").get_attribute("open") is not None


def test_a_page_fits_when_printed(visit):
    page = visit().goto("/activity")
    page.emulate_media(media="print")

    assert not page.locator(".tools").is_visible()
