"""For everybody: no mouse needed, no rule of axe broken in light and dark, both languages complete."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from axe_playwright_python.async_playwright import Axe
from playwright.async_api import Page, expect
from suite_client import PASSWORD, Person, unique
from web_visitor import NewVisitor, Visitor

from gateway.openapi import CREDIT

WEB = Path(__file__).parents[2] / "gateway" / "src" / "gateway" / "web"
MakePackage = Callable[..., dict[str, Any]]
SIZES = {"light": {"width": 1280, "height": 900}, "dark": {"width": 390, "height": 844}}
MORE_VIEWS = ["movies?title=zzzz", "watched", "nowhere", "admin/packages/new", "admin/sync", "admin/reports"]
ADMIN_VIEWS = ["admin/packages", "admin/packages/new", "admin/users", "admin/sync", "admin/reports"]
EVERY_RULE = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]


async def violations(page: Page, rules: list[str]) -> list[str]:
    """Which of these rules of axe the view breaks, with the elements that do."""
    if not await page.evaluate("'axe' in window"):
        await page.evaluate(Axe().axe_script)
    run = "(rules) => axe.run({ runOnly: rules, resultTypes: ['violations'] })"
    found: list[dict[str, Any]] = (await page.evaluate(run, rules))["violations"]
    return [f"{rule['id']}: {[node['html'][:150] for node in rule['nodes']][:3]}" for rule in found]


async def tab_to(page: Page, name: str, role: str = "button") -> None:
    """Press Tab until the focus is on what has this name; it must be visible there."""
    wanted = page.get_by_role(role, name=name, exact=True).first  # type: ignore[arg-type]
    for _ in range(80):
        if await wanted.evaluate("(element) => element === document.activeElement"):
            outline = await wanted.evaluate("(element) => getComputedStyle(element).outlineStyle")
            assert outline != "none", f"the focus on '{name}' cannot be seen"
            return
        await page.keyboard.press("Tab")
    pytest.fail(f"'{name}' is not reached with the keyboard")


async def test_the_main_path_needs_no_mouse(visitor: Visitor, make_package: MakePackage) -> None:
    package = make_package("Western")
    page = visitor.page
    await visitor.heading("login.title")
    await page.keyboard.press("Tab")
    await expect(page.get_by_role("link", name=visitor.text("skip"))).to_be_focused()
    await page.keyboard.press("Enter")
    await expect(page.get_by_role("main")).to_be_focused()
    await tab_to(page, visitor.text("register.title"), "link")
    await page.keyboard.press("Enter")
    await visitor.heading("register.title")
    await expect(page.get_by_role("heading", level=1)).to_be_focused()
    for value in ("Ana", f"{unique('ana')}@example.com", PASSWORD):
        await page.keyboard.press("Tab")
        await page.keyboard.type(value)
    await page.keyboard.press("Enter")
    await visitor.heading("packages.title")
    await page.keyboard.press("Tab")
    await page.keyboard.type(package["name"])
    await page.keyboard.press("Enter")
    await expect(page).to_have_url(re.compile("name="))
    await visitor.settled()
    await tab_to(page, visitor.text("package.subscribe-to", name=package["name"]))
    await page.keyboard.press("Enter")
    await visitor.told("package.welcome", name=package["name"])
    await expect(visitor.button("package.unsubscribe-from", name=package["name"])).to_be_focused()
    await page.keyboard.press("Home")
    await page.evaluate("document.activeElement.blur()")
    await tab_to(page, visitor.text("nav.movies"), "link")
    await page.keyboard.press("Enter")
    await visitor.heading("movies.title")
    title = await page.locator(".movies > li").first.get_by_role("heading").inner_text()
    await tab_to(page, visitor.text("movie.mark-this", title=title))
    await page.keyboard.press("Space")
    mark = visitor.button("movie.mark-this", title=title)
    await expect(mark).to_have_attribute("aria-pressed", "true")
    await expect(mark).to_be_focused()


# Between the schemes only colours differ, and between the widths where things stand.
@pytest.mark.parametrize(
    ("scheme", "rules", "more"), [("light", EVERY_RULE, MORE_VIEWS), ("dark", ["color-contrast", "target-size"], [])]
)
async def test_no_view_breaks_a_rule_of_axe(  # noqa: PLR0913 - three fixtures and three parameters
    new_visitor: NewVisitor,
    admin: Person,
    make_package: MakePackage,
    scheme: str,
    rules: list[str],
    more: list[str],
) -> None:
    package = make_package("Western", "Comedy")
    admin.post("/v1/subscriptions", {"packageId": package["id"]})
    for movie in admin.get("/v1/movies?pageSize=3").json()["data"]:
        admin.put(f"/v1/watched/{movie['id']}")
    # axe is put into the page as a script of its own, which the page's policy rightly refuses.
    visitor = await new_visitor(bypass_csp=True, color_scheme=scheme, viewport=SIZES[scheme])
    broken: dict[str, list[str]] = {}

    async def look(path: str) -> None:
        await visitor.page.goto(f"{visitor.origin}/#/{path}")
        await expect(visitor.page.get_by_role("heading", level=1)).to_be_visible()
        await visitor.settled()
        if found := await violations(visitor.page, rules):
            broken[path] = found

    for path in ("login", "register", "forgot", "reset"):
        await look(path)
    await visitor.page.goto(f"{visitor.origin}/#/login")
    await visitor.log_in(admin.email, admin.password)
    await visitor.heading("movies.title")
    for path in ("movies?minRating=8", "packages", "report", f"admin/packages/{package['id']}", "admin/users", *more):
        await look(path)
    assert broken == {}


async def test_both_languages_have_every_text_that_is_used(visitor: Visitor, new_visitor: NewVisitor) -> None:
    english, portuguese = visitor.texts, (await new_visitor("pt-BR")).texts
    assert english.keys() == portuguese.keys()
    for key, text in english.items():
        assert sorted(re.findall(r"\{\w+\}", text)) == sorted(re.findall(r"\{\w+\}", portuguese[key])), key
    for script in WEB.glob("*.js"):
        for key in re.findall(r'\bt\(\s*"([^"]+)"', script.read_text()):
            assert key in english or {f"{key}.one", f"{key}.other"} <= english.keys(), f"{script.name}: {key}"


async def test_problems_that_are_put_into_portuguese_exist(visitor: Visitor) -> None:
    page = visitor.page
    codes = await page.evaluate("import('/web/problems-pt-br.js').then((module) => Object.keys(module.details))")
    await page.goto(f"{visitor.origin}/docs/problems")
    known = await page.locator("dt").evaluate_all("(terms) => terms.map((term) => term.id)")
    assert set(codes) <= set(known)


async def test_the_language_is_the_browsers_until_one_is_chosen(new_visitor: NewVisitor) -> None:
    visitor = await new_visitor("pt-BR")
    page = visitor.page
    await visitor.heading("login.title")
    await page.get_by_label(visitor.text("language")).select_option("en")
    await expect(page.get_by_role("heading", level=1, name="Log in")).to_be_visible()
    await expect(page.get_by_label("Language")).to_be_focused()
    await page.reload()
    await expect(page.get_by_role("heading", level=1, name="Log in")).to_be_visible()
    assert await page.evaluate("document.documentElement.lang") == "en"


async def test_posters_are_fetched_only_when_they_are_wanted(
    visitor: Visitor, someone: Person, make_package: MakePackage
) -> None:
    someone.post("/v1/subscriptions", {"packageId": make_package("Western")["id"]})
    page = visitor.page

    async def with_posters(route: Any) -> None:
        answer = await route.fetch()
        document = await answer.json()
        for movie in document["data"]:
            movie["posterUrl"] = f"https://image.tmdb.org/t/p/w500/{movie['id']}.jpg"
        await route.fulfill(response=answer, json=document)

    # The simulator's films have no posters; TMDB's have.
    await page.route("**/v1/movies?**", with_posters)
    await visitor.log_in(someone.email, someone.password)
    await visitor.heading("movies.title")
    assert visitor.foreign_requests == []
    await page.get_by_label(visitor.text("posters.label")).check()
    async with page.expect_event("requestfailed", lambda request: "image.tmdb.org" in request.url):
        await visitor.settled()
    assert {url.split("/")[2] for url in visitor.foreign_requests} == {"image.tmdb.org"}
    # Offline the covers stay, with their titles.
    await expect(page.locator(".cover img")).to_have_count(0)
    await expect(page.locator(".cover span").first).not_to_be_empty()
    visitor.requested.clear()
    visitor.complaints[:] = [text for text in visitor.complaints if "ERR_NAME_NOT_RESOLVED" not in text]


async def test_the_credit_of_tmdb_is_on_every_view(visitor: Visitor) -> None:
    footer = visitor.page.get_by_role("contentinfo")
    await expect(footer).to_contain_text(CREDIT)
    await expect(footer).to_contain_text(visitor.text("footer.logo"))


async def test_on_a_telephone_everything_fits_and_says_what_it_is(
    new_visitor: NewVisitor, admin: Person, make_package: MakePackage
) -> None:
    package = make_package("Western")
    visitor = await new_visitor("pt-BR", viewport=SIZES["dark"])
    page = visitor.page
    await visitor.log_in(admin.email, admin.password)
    await visitor.heading("movies.title")
    too_wide = []
    for path in ("movies", "packages", "watched", "report", *ADMIN_VIEWS, f"admin/packages/{package['id']}"):
        await page.goto(f"{visitor.origin}/#/{path}")
        await expect(page.get_by_role("heading", level=1)).to_be_visible()
        await visitor.settled()
        if await page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth"):
            too_wide.append(path)
    assert too_wide == []
    # A row is a card there: it stays a row for a screen reader, and each cell says what it is.
    await page.goto(f"{visitor.origin}/#/admin/users?q={admin.email}")
    row = page.get_by_role("row").filter(has_text=admin.email)
    cell = row.get_by_role("cell").first
    label = await cell.evaluate("(element) => getComputedStyle(element, '::before').content")
    assert visitor.text("email") in label
    assert visitor.text("users.disable") in await row.get_by_role("cell").last.inner_text()
    box = await row.get_by_role("button").last.bounding_box()
    assert box is not None
    assert box["x"] + box["width"] <= SIZES["dark"]["width"]


async def test_every_genre_of_tmdb_has_a_portuguese_name(new_visitor: NewVisitor, genres: dict[str, int]) -> None:
    visitor = await new_visitor("pt-BR")
    assert visitor.genres.keys() == genres.keys()
