"""Makes the pictures in docs/screenshots from the running stack: `make screenshots`.

Not a test: pictures change with fonts and days, and are looked at by people. They look best where the fonts that the
style sheet names first are installed (Debian: fonts-inter, fonts-noto-core), and are smaller with pngquant.
"""

import asyncio
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
from playwright.async_api import Browser, Page, async_playwright, expect

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "tests" / "support"))

from suite_client import Person, environment, register, until  # noqa: E402 - after the path to it
from web_visitor import Visitor, browser_program, launch, open_visitor  # noqa: E402

FOLDER = ROOT / "docs" / "screenshots"
# A machine that does much else besides may be slow.
expect.set_options(timeout=60_000)
WIDE = {"width": 1280, "height": 860}
NARROW = {"width": 390, "height": 844}
PACKAGES = {
    "Friday night": ("Action, adventure and a way out at the last moment.", ["Action", "Adventure", "Thriller"]),
    "Elsewhere": ("Other planets, other times, other rules.", ["Science Fiction", "Fantasy"]),
    "All together": ("For every age on one sofa.", ["Family", "Animation", "Comedy"]),
    "True stories": ("What happened, and what it was like.", ["Documentary", "History", "War"]),
    "Dusty": ("Hats, horses, horizons.", ["Western"]),
    "Lights out": ("Not alone, please.", ["Horror", "Mystery", "Crime"]),
}


def furnish(admin: Person, person: Person) -> dict[str, dict[str, Any]]:
    """Packages to look at, and somebody who has watched something."""

    def filled() -> dict[str, int]:
        genres = admin.get("/v1/genres?pageSize=100&minMovies=1").json()["data"]
        return {genre["name"]: genre["id"] for genre in genres} if len(genres) >= 15 else {}

    genres = until(filled, 90, "a filled catalog")
    made = {}
    for name, (description, names) in PACKAGES.items():
        body = {"name": name, "description": description, "genreIds": [genres[genre] for genre in names]}
        made[name] = admin.post("/v1/packages", body).json()
    for name in ("Friday night", "Elsewhere"):
        person.post("/v1/subscriptions", {"packageId": made[name]["id"]})
    for movie in person.get("/v1/movies?pageSize=14&sort=-voteAverage").json()["data"]:
        person.put(f"/v1/watched/{movie['id']}")
    return made


async def picture(page: Page, name: str) -> None:
    await expect(page.get_by_role("main")).not_to_have_attribute("aria-busy", "true")
    path = FOLDER / f"{name}.png"
    await page.screenshot(path=path, animations="disabled")


def shrink() -> None:
    """A third of the size, and nobody sees a difference."""
    if program := shutil.which("pngquant"):
        subprocess.run([program, "--force", "--ext", ".png", "--quality", "80-98", *FOLDER.glob("*.png")], check=True)


async def somebody(browser: Browser, origin: str, person: Person, **options: Any) -> Visitor:
    """Somebody who has logged in through the page."""
    language = options.setdefault("locale", "en")
    visitor = await open_visitor(await browser.new_context(**options), origin, language)
    await visitor.log_in(person.email, person.password)
    await visitor.heading("movies.title")
    return visitor


async def take(browser: Browser, origin: str, admin: Person, person: Person) -> None:
    """The pictures: what somebody sees, what an administrator sees, and on a telephone in Portuguese."""
    made = furnish(admin, person)
    visitor = await somebody(browser, origin, person, viewport=WIDE)
    await picture(visitor.page, "films")
    await visitor.follow("nav.packages", "packages.title")
    await picture(visitor.page, "packages")
    await visitor.follow("nav.report", "report.title")
    await picture(visitor.page, "report")

    visitor = await somebody(browser, origin, admin, viewport=WIDE)
    await visitor.page.goto(f"{origin}/#/admin/packages/{made['Dusty']['id']}")
    await visitor.page.get_by_role("checkbox", name="History").check()
    await visitor.press("preview.show")
    preview = visitor.page.locator(".preview")
    await expect(preview).not_to_be_empty()
    await visitor.page.set_viewport_size({"width": 1280, "height": 1180})
    await picture(visitor.page, "dry-run")

    phone = await somebody(browser, origin, person, viewport=NARROW, locale="pt-BR", color_scheme="dark")
    await picture(phone.page, "filmes-no-celular")


async def main() -> None:
    """Take all pictures."""
    program = browser_program()
    if program is None:
        sys.exit("there is no Chromium on this machine: 'make setup' installs one on Debian")
    origin = environment("STACK_GATEWAY_URL")
    FOLDER.mkdir(parents=True, exist_ok=True)
    with httpx.Client(base_url=origin, timeout=30, trust_env=False) as http:
        admin = Person(http, "", environment("ADMIN_EMAIL"), environment("ADMIN_PASSWORD")).log_in()
        async with async_playwright() as playwright:
            browser = await launch(playwright, program)
            await take(browser, origin, admin, register(http, "Ana"))
            await browser.close()


if __name__ == "__main__":
    asyncio.run(main())
    shrink()
