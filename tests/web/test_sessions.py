"""What becomes of a session: kept over a reload, refreshed in time and by one tab only, ended everywhere."""

import asyncio

from playwright.async_api import Page, expect
from suite_client import Person, until
from web_visitor import NewVisitor, Visitor

# A clone of a tab, as "Duplicate" makes it: the same sessionStorage.
_COPY = "() => Object.entries(sessionStorage)"
_PASTE = "(entries) => entries.forEach(([name, value]) => sessionStorage.setItem(name, value))"


async def duplicate(visitor: Visitor) -> Page:
    """Another tab with a copy of the session, as a browser's "Duplicate" makes it."""
    kept = await visitor.page.evaluate(_COPY)
    copy = await visitor.page.context.new_page()
    await copy.goto(f"{visitor.origin}/web/icon.svg")
    await copy.evaluate(_PASTE, kept)
    return copy


def refreshes(visitor: Visitor) -> int:
    return sum(url.endswith("/v1/auth/refresh") for url in visitor.requested)


async def test_a_reload_keeps_the_session_and_no_token_is_left_on_disk(visitor: Visitor, someone: Person) -> None:
    await visitor.log_in(someone.email, someone.password)
    await visitor.heading("movies.title")
    await visitor.page.reload()
    await visitor.heading("movies.title")
    assert refreshes(visitor) == 1
    storage = await visitor.page.evaluate("() => ({ kept: {...localStorage}, session: Object.keys(sessionStorage) })")
    assert storage == {"kept": {}, "session": ["refresh-token"]}
    assert await visitor.page.context.cookies() == []


async def test_a_token_is_refreshed_before_it_expires(new_visitor: NewVisitor, someone: Person) -> None:
    visitor = await new_visitor()
    await visitor.page.clock.install()
    await visitor.visit()
    await visitor.log_in(someone.email, someone.password)
    await visitor.heading("movies.title")
    await visitor.page.clock.fast_forward("09:35")
    await visitor.follow("nav.packages", "packages.title")
    assert refreshes(visitor) == 1, "it would have been refused in less than half a minute"
    await visitor.follow("nav.watched", "watched.title")
    assert refreshes(visitor) == 1


async def test_copies_of_a_tab_share_what_one_of_them_has(visitor: Visitor, someone: Person) -> None:
    await visitor.log_in(someone.email, someone.password)
    await visitor.heading("movies.title")
    copies = [await duplicate(visitor) for _ in range(2)]
    for page in (copies[0], visitor.page, copies[1]):
        await page.goto(f"{visitor.origin}/#/movies")
        await page.reload()
        await expect(page.get_by_role("heading", level=1, name=visitor.text("movies.title"))).to_be_visible()
    assert refreshes(visitor) <= 1
    me = await visitor.page.evaluate("import('/web/api.js').then((api) => api.get('/v1/users/me'))")
    assert me["email"] == someone.email


async def test_copies_of_a_tab_refresh_one_at_a_time(visitor: Visitor, someone: Person) -> None:
    await visitor.log_in(someone.email, someone.password)
    await visitor.heading("movies.title")
    kept = await visitor.page.evaluate(_COPY)
    await visitor.page.goto(f"{visitor.origin}/web/icon.svg")
    copies = [await duplicate(visitor) for _ in range(3)]
    statuses: list[int] = []
    for copy in copies:
        copy.on("response", lambda answer: statuses.append(answer.status) if "/refresh" in answer.url else None)
        await copy.evaluate(_PASTE, kept)
    # All at once, with nobody there who could be asked: the lock lets one of them refresh.
    await asyncio.gather(*(copy.goto(visitor.origin) for copy in copies))
    for copy in copies:
        await expect(copy.get_by_role("heading", level=1, name=visitor.text("movies.title"))).to_be_visible()
    assert statuses.count(200) == 1
    assert 401 not in statuses, "nobody's session has been taken for a stolen one"


async def test_logging_out_in_one_tab_logs_its_copies_out(visitor: Visitor, someone: Person) -> None:
    await visitor.log_in(someone.email, someone.password)
    await visitor.heading("movies.title")
    copy = await duplicate(visitor)
    await copy.goto(visitor.origin)
    await expect(copy.get_by_role("heading", level=1, name=visitor.text("movies.title"))).to_be_visible()
    await visitor.press("logout")
    await visitor.told("logout.done")
    await expect(copy.get_by_role("heading", level=1, name=visitor.text("login.title"))).to_be_visible()


async def test_who_is_disabled_is_led_to_the_log_in_and_back(visitor: Visitor, admin: Person, someone: Person) -> None:
    await visitor.log_in(someone.email, someone.password)
    await visitor.heading("movies.title")
    assert admin.patch(f"/v1/users/{someone.id}", {"status": "disabled"}).status_code == 200
    until(lambda: someone.get("/v1/genres").status_code == 401, 5, "the refusal")
    await visitor.page.get_by_role("link", name=visitor.text("nav.report")).click()
    await visitor.heading("login.title")
    await visitor.told("login.ended")
    assert admin.patch(f"/v1/users/{someone.id}", {"status": "active"}).status_code == 200
    await visitor.log_in(someone.email, someone.password)
    await visitor.heading("report.title")


async def test_an_address_from_elsewhere_does_not_decide_where_a_log_in_leads(
    visitor: Visitor, someone: Person
) -> None:
    await visitor.visit("/#/login?next=//evil.example/")
    await visitor.page.reload()
    await visitor.log_in(someone.email, someone.password)
    await visitor.page.wait_for_url("**/#/**")
    assert visitor.page.url.startswith(f"{visitor.origin}/#/")
