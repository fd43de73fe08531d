"""Somebody in front of the web page: a browser's tab that fails the test when something leaves the page's origin."""

import os
import re
import shutil
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from playwright.async_api import Browser, BrowserContext, ConsoleMessage, Locator, Page, Playwright, Request, expect

BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
LANGUAGES = {"en": ("en.js", "en"), "pt-BR": ("pt-br.js", "pt")}

# What the browser says by itself about answers that are meant (a refused password, say).
_EXPECTED_CONSOLE = re.compile(r"Failed to load resource: the server responded with a status of 4\d\d")
_REPORT_VIOLATIONS = """
addEventListener("securitypolicyviolation", (event) =>
  console.error(`policy violated: ${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}`));
"""


def browser_program() -> str | None:
    """Where a Chromium is; None when there is none."""
    return next(filter(None, map(shutil.which, BROWSERS)), None)


async def launch(playwright: Playwright, program: str) -> Browser:
    """A browser that knows no host but this machine, so nothing can be fetched from elsewhere even if asked for."""
    return await playwright.chromium.launch(
        executable_path=program,
        # Chromium's own sandbox cannot be used by root.
        chromium_sandbox=os.geteuid() != 0,
        args=["--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost"],
    )


@dataclass
class Visitor:
    """A tab, the texts of its language, and what has been seen of it that must not be."""

    page: Page
    origin: str
    texts: dict[str, str]
    requested: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)
    own_hosts: set[str] = field(default_factory=set)
    genres: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.own_hosts.add(urlsplit(self.origin).netloc)

    def watch(self) -> None:
        """Note every request, and everything that the browser complains of."""
        self.page.on("request", self._note_request)
        self.page.on("console", self._note_console)
        self.page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))

    def _note_request(self, request: Request) -> None:
        if urlsplit(request.url).scheme not in ("blob", "data"):
            self.requested.append(request.url)

    def _note_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning") and not _EXPECTED_CONSOLE.search(message.text):
            self.complaints.append(f"{message.type}: {message.text}")

    @property
    def foreign_requests(self) -> list[str]:
        return [url for url in self.requested if urlsplit(url).netloc not in self.own_hosts]

    def text(self, key: str, **values: Any) -> str:
        """A text of the page, filled in as the page does."""
        if "count" in values and f"{key}.other" in self.texts:
            key = f"{key}.{'one' if values['count'] == 1 else 'other'}"
        return re.sub(r"\{(\w+)\}", lambda match: str(values[match[1]]), self.texts[key])

    def genre(self, name: str) -> str:
        """A genre of this English name, as the page calls it."""
        return self.genres.get(name, name)

    async def visit(self, path: str = "/") -> None:
        await self.page.goto(f"{self.origin}{path}")

    async def heading(self, key: str, **values: Any) -> None:
        """Wait until the view with this heading is shown."""
        shown = self.page.get_by_role("heading", level=1, name=self.text(key, **values), exact=True)
        await expect(shown).to_be_visible()
        await self.settled()

    async def settled(self) -> None:
        """Wait until what was asked for is on the page."""
        await expect(self.page.get_by_role("main")).not_to_have_attribute("aria-busy", "true")

    async def search(self) -> None:
        """Send the search form of a list."""
        await self.press("search")
        await self.settled()

    async def told(self, key: str, **values: Any) -> None:
        """Wait for a message."""
        await expect(self.page.locator("#notices")).to_contain_text(self.text(key, **values))

    async def press(self, key: str, **values: Any) -> None:
        """Press the button of this name."""
        await self.button(key, **values).click()

    def button(self, key: str, **values: Any) -> Locator:
        return self.page.get_by_role("button", name=self.text(key, **values), exact=True)

    async def follow(self, key: str, heading: str) -> None:
        """Follow a link to the view with this heading."""
        await self.page.get_by_role("link", name=self.text(key), exact=True).first.click()
        await self.heading(heading)

    async def fill(self, key: str, value: str) -> None:
        await self.page.get_by_label(self.text(key), exact=True).fill(value)

    async def log_in(self, email: str, password: str) -> None:
        """Log in through the form, from wherever the log-in is shown."""
        await self.heading("login.title")
        await self.fill("email", email)
        await self.fill("password", password)
        await self.press("login.submit")


NewVisitor = Callable[..., Awaitable[Visitor]]
"""Makes a visitor: language, then options of the browser's context."""


async def open_visitor(context: BrowserContext, origin: str, language: str = "en") -> Visitor:
    """A visitor with a new tab at the beginning of the page."""
    # A machine that does much else besides may be slow; nothing here is about speed.
    context.set_default_timeout(60_000)
    await context.add_init_script(_REPORT_VIOLATIONS)
    page = await context.new_page()
    visitor = Visitor(page, origin, {})
    visitor.watch()
    await visitor.visit()
    file, name = LANGUAGES[language]
    visitor.texts = await page.evaluate(f"import('/web/{file}').then((module) => module.{name})")
    if language == "pt-BR":
        visitor.genres = await page.evaluate("import('/web/genres-pt-br.js').then((module) => module.genres)")
    return visitor
