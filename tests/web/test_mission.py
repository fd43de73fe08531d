"""The mission through the page, in both languages: by somebody who registers, and by an administrator."""

import csv
import re
from collections.abc import Callable
from typing import Any

import pytest
from playwright.async_api import expect
from suite_client import PASSWORD, Person, unique, until
from web_visitor import NewVisitor

MakePackage = Callable[..., dict[str, Any]]


def is_idle(sync: dict[str, Any]) -> bool:
    return sync["requestedAt"] is None and {sync["genres"]["status"], sync["movies"]["status"]} == {"idle"}


both_languages = pytest.mark.parametrize("language", ["en", "pt-BR"])


@both_languages
async def test_somebody_registers_subscribes_watches_and_looks_back(
    new_visitor: NewVisitor, make_package: MakePackage, language: str
) -> None:
    package = make_package("Western", "Documentary")
    visitor = await new_visitor(language)
    page = visitor.page

    # Register; a password that is too short is refused beside its field, and the field has the focus.
    await visitor.follow("register.title", "register.title")
    await visitor.fill("name", "Ana")
    await visitor.fill("email", f"{unique('ana')}@example.com")
    await visitor.fill("password", "short")
    await visitor.press("register.submit")
    password = page.get_by_label(visitor.text("password"), exact=True)
    await expect(password).to_have_attribute("aria-invalid", "true")
    await expect(password).to_be_focused()
    refusal = {"en": "must have at least 12 characters", "pt-BR": "precisa de pelo menos 12 caracteres"}
    await expect(page.locator('[data-field="password"] .refusal')).to_have_text(refusal[language])
    await password.fill(PASSWORD)
    await visitor.press("register.submit")
    await visitor.heading("packages.title")
    await visitor.told("register.done", name="Ana")

    # Nothing is to be seen before there is a subscription.
    await visitor.follow("nav.movies", "movies.title")
    await expect(page.get_by_role("heading", name=visitor.text("movies.no-package"))).to_be_visible()

    # Subscribe.
    await visitor.follow("nav.packages", "packages.title")
    await visitor.fill("package.search", package["name"])
    await visitor.search()
    card = page.get_by_role("listitem").filter(has=page.get_by_role("heading", name=package["name"]))
    await expect(card.get_by_role("list", name=visitor.text("genres"))).to_contain_text(visitor.genre("Western"))
    await visitor.press("package.subscribe-to", name=package["name"])
    await visitor.told("package.welcome", name=package["name"])

    # Films of both genres; a filter narrows them.
    await visitor.follow("nav.movies", "movies.title")
    await page.get_by_role("checkbox", name=visitor.genre("Western")).check()
    await visitor.press("filter.apply")
    await expect(page).to_have_url(re.compile(r"genreIds=\d+$"))
    await visitor.settled()
    films = page.locator(".movies > li")
    for genres in await films.get_by_role("list", name=visitor.text("genres")).all_inner_texts():
        assert visitor.genre("Western") in genres

    # Mark two, take one back.
    titles = [(await films.nth(place).get_by_role("heading").inner_text()) for place in (0, 1)]
    for title in titles:
        button = visitor.button("movie.mark-this", title=title)
        await button.click()
        await expect(button).to_have_attribute("aria-pressed", "true")
    await page.reload()
    await visitor.heading("movies.title")
    await expect(visitor.button("movie.mark-this", title=titles[0])).to_have_attribute("aria-pressed", "true")
    await visitor.follow("nav.watched", "watched.title")
    await visitor.press("watched.unmark-this", title=titles[0])
    await visitor.told("watched.unmarked", title=titles[0])
    await expect(page.get_by_role("rowheader")).to_have_count(1)

    # The report, as a picture and as a table.
    await visitor.follow("nav.report", "report.title")
    figures = page.locator(".figures")
    await expect(figures).to_contain_text(titles[1])
    await expect(page.get_by_role("figure").get_by_role("img")).to_be_visible()
    western = visitor.genre("Western")
    await page.get_by_text(visitor.text("report.as-table")).click()
    await expect(page.get_by_role("row").filter(has_text=western)).to_have_text(f"{western}1")

    # Unsubscribe, and leave.
    await visitor.follow("nav.packages", "packages.title")
    await visitor.press("package.unsubscribe-from", name=package["name"])
    await visitor.told("package.unsubscribed", name=package["name"])
    await visitor.press("logout")
    await visitor.told("logout.done")
    await visitor.heading("login.title")
    assert await page.evaluate("document.documentElement.lang") == language


@both_languages
async def test_an_administrator_makes_looks_at_and_changes_a_package(
    new_visitor: NewVisitor, admin: Person, someone: Person, genres: dict[str, int], language: str
) -> None:
    visitor = await new_visitor(language)
    page = visitor.page
    await visitor.log_in(admin.email, admin.password)
    await visitor.heading("movies.title")
    name = unique("Weekend")

    # Make one; without a genre it is refused beside the genres.
    await visitor.follow("nav.admin-packages", "admin.packages")
    await visitor.follow("admin.new-package", "admin.new-package")
    await visitor.fill("name", name)
    await visitor.press("admin.create")
    await expect(page.locator('[data-field="genreIds"] .refusal')).to_be_visible()
    await page.get_by_role("checkbox", name=visitor.genre("Western"), exact=True).check()
    await visitor.press("admin.create")
    await visitor.told("admin.created", name=name)
    found = admin.get(f"/v1/packages?name={name}").json()["data"][0]
    assert someone.post("/v1/subscriptions", {"packageId": found["id"]}).status_code == 201

    # The dry run says what saving would do, and changes nothing.
    await expect(page.get_by_role("heading", level=1, name=name)).to_be_visible()
    await visitor.settled()
    await page.get_by_role("checkbox", name=visitor.genre("Comedy"), exact=True).check()
    await visitor.press("preview.show")
    preview = page.get_by_role("region", name=visitor.text("preview.title"))
    await expect(preview).to_contain_text(visitor.text("preview.version", version=2))
    await expect(preview).to_contain_text(visitor.genre("Comedy"))
    await expect(preview.locator("dd").last).to_have_text("1")
    assert admin.get(f"/v1/packages/{found['id']}").json()["version"] == 1

    # Saved meanwhile by somebody else: nothing is overwritten.
    etag = {"If-Match": admin.get(f"/v1/packages/{found['id']}").headers["etag"]}
    assert admin.patch(f"/v1/packages/{found['id']}", {"description": "Changed"}, headers=etag).status_code == 200
    await visitor.press("admin.save")
    await expect(page.get_by_role("alert")).not_to_be_empty()
    await page.reload()
    await visitor.settled()
    await page.get_by_role("checkbox", name=visitor.genre("Comedy"), exact=True).check()
    await page.get_by_label(visitor.text("admin.apply")).check()
    await visitor.press("admin.save")
    await visitor.told("admin.saved", name=name, version=3)
    await expect(page.get_by_role("region", name=visitor.text("admin.versions")).get_by_role("rowheader")).to_have_text(
        ["3", "2", "1"]
    )
    held = someone.get("/v1/entitlements/me").json()["genres"]
    assert {genre["name"] for genre in held} == {"Western", "Comedy"}

    # Archive it: asked first, and the answer "no" is taken.
    await visitor.follow("nav.admin-packages", "admin.packages")
    await visitor.fill("name", name)
    await visitor.search()
    await visitor.press("admin.archive-this", name=name)
    await page.keyboard.press("Escape")
    assert admin.get(f"/v1/packages/{found['id']}").json()["status"] == "active"
    await visitor.press("admin.archive-this", name=name)
    await page.get_by_role("dialog").get_by_role("button", name=visitor.text("admin.archive"), exact=True).click()
    await visitor.told("admin.archived", name=name)
    await visitor.press("admin.restore-this", name=name)
    await visitor.told("admin.restored", name=name)


@both_languages
async def test_an_administrator_sees_to_accounts_synchronisation_and_reports(
    new_visitor: NewVisitor, admin: Person, someone: Person, make_package: MakePackage, language: str
) -> None:
    someone.post("/v1/subscriptions", {"packageId": make_package("Western")["id"]})
    movie = someone.get("/v1/movies").json()["data"][0]
    assert someone.put(f"/v1/watched/{movie['id']}").status_code == 201
    visitor = await new_visitor(language)
    page = visitor.page
    await visitor.log_in(admin.email, admin.password)
    await visitor.heading("movies.title")

    # Disable an account and open it again; each in the row, without losing the place.
    await visitor.follow("nav.admin-users", "admin.users")
    await visitor.fill("users.search", someone.email)
    await visitor.search()
    row = page.get_by_role("row").filter(has_text=someone.email)
    await visitor.press("users.disable-this", name="Ana")
    await page.get_by_role("dialog").get_by_role("button", name=visitor.text("users.disable"), exact=True).click()
    await visitor.told("users.disabled", name="Ana")
    await expect(row).to_contain_text(visitor.text("account.disabled"))
    await expect(visitor.button("users.enable-this", name="Ana")).to_be_focused()
    await visitor.press("users.enable-this", name="Ana")
    await visitor.told("users.enabled", name="Ana")
    await visitor.press("users.make-admin-this", name="Ana")
    await page.get_by_role("dialog").get_by_role("button", name=visitor.text("users.make-admin"), exact=True).click()
    await visitor.told("users.is-admin", name="Ana")
    await visitor.press("users.make-user-this", name="Ana")
    await visitor.told("users.is-user", name="Ana")

    # The state of the synchronisation, and one more.
    await visitor.follow("nav.admin-sync", "admin.sync")
    await expect(page.get_by_text(visitor.text("sync.last"), exact=True).first).to_be_visible()
    until(lambda: is_idle(admin.get("/v1/sync").json()), 30, "the end of another synchronisation")
    await visitor.press("sync.start")
    await visitor.told("sync.started")
    await visitor.told("sync.done")

    # Everybody's report, and as a file.
    await visitor.follow("nav.admin-reports", "admin.reports")
    await expect(page.get_by_role("row").nth(1)).to_be_visible()
    async with page.expect_download() as started:
        await visitor.press("download")
    download = await started.value
    assert download.suggested_filename == "reports.csv"
    with (await download.path()).open(newline="") as file:
        rows = {row["userId"]: row for row in csv.DictReader(file)}
    assert rows[someone.id]["totalFilmsWatched"] == "1"
    assert rows[someone.id]["lastMovieName"] == movie["title"]
