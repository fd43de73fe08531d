"""The files of the web page: served as they lie there, checked by browsers each time, and nothing beside them."""

import re

import pytest

from chassis.testing.http import assert_problem
from gateway.testing.process import RunningGateway


@pytest.mark.parametrize("accept", ["text/html,application/xhtml+xml,*/*;q=0.8", "*/*", "text/html, application/json"])
async def test_people_get_the_page(shared_gateway: RunningGateway, accept: str) -> None:
    async with shared_gateway.client() as client:
        page = await client.get("/", headers={"accept": accept})
        assert page.status_code == 200
        assert page.headers["content-type"] == "text/html; charset=utf-8"
        assert page.headers["vary"] == "Accept"


async def test_the_policy_lets_nothing_in_but_the_page_itself_and_chosen_posters(
    shared_gateway: RunningGateway,
) -> None:
    async with shared_gateway.client() as client:
        page = await client.get("/")
        (policy,) = page.headers.get_list("content-security-policy")
        directives = dict(part.strip().split(" ", 1) for part in policy.split(";"))
        assert directives == {
            "default-src": "'none'",
            "script-src": "'self'",
            "style-src": "'self'",
            "img-src": "'self' https://image.tmdb.org",
            "connect-src": "'self'",
            "base-uri": "'none'",
            "form-action": "'none'",
            "frame-ancestors": "'none'",
            "require-trusted-types-for": "'script'",
            "trusted-types": "'none'",
        }
        assert not re.search(r"<script(?![^>]*\bsrc=)|<style|\bstyle=|\bon\w+=", page.text), "nothing inline"


async def test_what_a_browser_has_is_not_sent_again(shared_gateway: RunningGateway) -> None:
    async with shared_gateway.client() as client:
        page = await client.get("/")
        links = re.findall(r'(?:src|href)="(/web/[^"]+)"', page.text)
        assert len(links) == 3
        for path in ("/", "/reset-password", *links):
            answer = await client.get(path)
            assert answer.status_code == 200, path
            assert answer.headers["cache-control"] == "no-cache"
            again = await client.get(path, headers={"if-none-match": answer.headers["etag"]})
            assert (again.status_code, again.content) == (304, b""), path


async def test_every_script_that_is_imported_is_there(shared_gateway: RunningGateway) -> None:
    async with shared_gateway.client() as client:
        seen = {"app.js"}
        waiting = ["app.js"]
        while waiting:
            script = await client.get(f"/web/{waiting.pop()}")
            assert script.status_code == 200
            assert script.headers["content-type"] == "text/javascript; charset=utf-8"
            imported = set(re.findall(r'from "\./([^"]+)"', script.text))
            waiting += imported - seen
            seen |= imported
        assert len(seen) > 10


@pytest.mark.parametrize(
    "path", ["/web/index.html", "/web/nothing.js", "/web/", "/web/.hidden.js", "/web/app.js.map", "/web/App.js"]
)
async def test_nothing_else_can_be_fetched(shared_gateway: RunningGateway, path: str) -> None:
    async with shared_gateway.client() as client:
        assert_problem(await client.get(path), 404, "not-found")
