"""pgmon at an address, and a visitor who notes whatever should not happen."""

from __future__ import annotations

from pathlib import Path

from playwright.sync_api import BrowserContext, Page

from pgmon.agent import Agent
from servers import Server

AXE = Path(__file__).parent / "browser" / "node_modules" / "axe-core" / "axe.min.js"
QUIET = ("--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")


class Site:
    """pgmon at an address, its agent in this process."""

    def __init__(self, url: str, agent: Agent, server: Server) -> None:
        self.url, self.agent, self.server = url, agent, server


class Visitor:
    """A page of the browser that notes whatever should not happen."""

    def __init__(self, context: BrowserContext, url: str) -> None:
        self.url, self.odd = url, list[str]()
        self.page: Page = context.new_page()
        self.page.on("console", lambda message: self.odd.append(f"{message.type}: {message.text}"))
        self.page.on("pageerror", lambda error: self.odd.append(str(error)))
        self.page.on("dialog", lambda dialog: self.odd.append(f"dialog: {dialog.message}"))
        self.page.on("request", self._note)

    def _note(self, request: object) -> None:
        if not request.url.startswith((f"{self.url}/", "data:")):  # type: ignore[attr-defined]
            self.odd.append(f"request to {request.url}")  # type: ignore[attr-defined]

    def goto(self, path: str) -> Page:
        """Open a page of pgmon."""
        self.page.goto(self.url + path)
        return self.page
