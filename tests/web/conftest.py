"""Fixtures of the web page's tests: the running test stack, seen through a browser that has no internet."""

from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import pytest
from playwright.async_api import Browser, async_playwright, expect
from suite_client import Person, environment, register, unique, until
from web_visitor import NewVisitor, Visitor, browser_program, launch, open_visitor

expect.set_options(timeout=30_000)


@pytest.fixture(scope="session")
def origin() -> str:
    """Where the page is."""
    return environment("STACK_GATEWAY_URL")


@pytest.fixture(scope="session")
def http(origin: str) -> Iterator[httpx.Client]:
    """A connection to the gateway, without a token."""
    with httpx.Client(base_url=origin, timeout=30, trust_env=False) as client:
        yield client


@pytest.fixture(scope="session")
def admin(http: httpx.Client) -> Person:
    """The first administrator."""
    return Person(http, "", environment("ADMIN_EMAIL"), environment("ADMIN_PASSWORD")).log_in()


@pytest.fixture
def someone(http: httpx.Client) -> Person:
    """A plain user."""
    return register(http, "Ana")


@pytest.fixture(scope="session")
def genres(admin: Person) -> dict[str, int]:
    """The stored genres by name, once the catalog has been filled."""

    def filled() -> list[dict[str, Any]]:
        data: list[dict[str, Any]] = admin.get("/v1/genres?pageSize=100").json()["data"]
        return data if sum(genre["movieCount"] > 0 for genre in data) >= 15 else []

    return {genre["name"]: genre["id"] for genre in until(filled, 90, "a filled catalog")}


@pytest.fixture
def make_package(admin: Person, genres: dict[str, int]) -> Callable[..., dict[str, Any]]:
    """Makes a package of the genres with these names."""

    def make(*names: str) -> dict[str, Any]:
        answer = admin.post("/v1/packages", {"name": unique("Package"), "genreIds": [genres[name] for name in names]})
        assert answer.status_code == 201, answer.text
        package: dict[str, Any] = answer.json()
        return package

    return make


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    """One browser for all tests; each test has contexts of its own in it."""
    program = browser_program()
    if program is None:
        pytest.skip("there is no Chromium on this machine: 'make setup' installs one on Debian")
    async with async_playwright() as playwright:
        browser = await launch(playwright, program)
        yield browser
        await browser.close()


@pytest.fixture
async def new_visitor(browser: Browser, origin: str) -> AsyncIterator[NewVisitor]:
    """Makes visitors, each with a profile; at the end none may have met a complaint or gone elsewhere."""
    visitors: list[Visitor] = []

    async def make(language: str = "en", **options: Any) -> Visitor:
        context = await browser.new_context(locale=language, **options)
        visitors.append(await open_visitor(context, origin, language))
        return visitors[-1]

    yield make
    for visitor in visitors:
        await visitor.page.context.close()
        assert visitor.complaints == []
        assert visitor.foreign_requests == [], "the page asks nobody but its own origin"


@pytest.fixture
async def visitor(new_visitor: NewVisitor) -> Visitor:
    """Somebody at the page, in English."""
    return await new_visitor()
