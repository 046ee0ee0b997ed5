"""The README's pictures, of the demo while sessions wait for each other: `python tests/screenshots.py` takes them."""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path

DOCS = Path(__file__).parent.parent / "docs"
sys.path[:0] = [str(DOCS.parent), str(Path(__file__).parent)]

from playwright.sync_api import sync_playwright  # noqa: E402

from browsing import QUIET  # noqa: E402
from running import Process  # noqa: E402

PAGES = {"": 1700, "queries": 1100, "autovacuum": 1500, "partitions": 1100, "activity": 1250}  # with their heights
SEEN = 240.0  # seconds until lines have a shape, and the demo begins with its incidents again: with a queue for a lock
SETTLED = 35.0  # … and until it is too long


def main() -> None:
    """Start the demo, and take the pictures."""
    environ = {"PGMON_CLUSTER": "hydro-prod", "PGMON_LOGGING_LEVEL": "warning"}
    with Process("", "demo", environ=environ) as agent, sync_playwright() as playwright:
        time.sleep(SEEN)
        agent.wait_for("pg_blocked_sessions", 2, timeout=90)
        time.sleep(SETTLED)
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=QUIET)
        for name, height in PAGES.items():
            page = browser.new_page(viewport={"width": 1280, "height": height})
            page.goto(f"http://127.0.0.1:{agent.port}/{name}")
            page.screenshot(path=DOCS / f"{name or 'overview'}.png")
        browser.close()


if __name__ == "__main__":
    main()
