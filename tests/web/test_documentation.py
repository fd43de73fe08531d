"""The API's documentation in a browser that has no internet: it shows every route, logs in and calls."""

import re

from playwright.async_api import Locator, expect
from suite_client import Person
from web_visitor import NewVisitor


async def try_out(operation: Locator, body: str | None = None) -> Locator:
    """Open an operation of Swagger UI and execute it; the live answer."""
    await operation.locator(".opblock-summary-control").click()
    await operation.get_by_role("button", name="Try it out").click()
    if body is not None:
        await operation.locator("textarea.body-param__text").fill(body)
    await operation.get_by_role("button", name="Execute").click()
    return operation.locator(".live-responses-table .response").first


async def test_the_documentation_logs_in_and_calls(new_visitor: NewVisitor, someone: Person) -> None:
    visitor = await new_visitor()
    page = visitor.page
    await visitor.visit("/docs")
    login = page.locator('.opblock:has([data-path="/v1/auth/login"])')
    answer = await try_out(login, f'{{"email": "{someone.email}", "password": "{someone.password}"}}')
    await expect(answer.locator(".response-col_status")).to_contain_text("200")
    shown = await answer.locator(".response-col_description .highlight-code").first.inner_text()
    found = re.search(r'"accessToken":\s*"([^"]+)"', shown)
    assert found is not None

    await page.get_by_role("button", name="Authorize").first.click()
    dialog = page.locator(".modal-ux")
    await dialog.locator("input").first.fill(found[1])
    await dialog.get_by_role("button", name=re.compile("Apply credentials|Authorize")).first.click()
    await dialog.get_by_role("button", name="Close").last.click()

    me = page.locator('.opblock-get:has([data-path="/v1/users/me"])')
    answer = await try_out(me)
    await expect(answer.locator(".response-col_status")).to_contain_text("200")
    await expect(answer.locator(".response-col_description")).to_contain_text(someone.email)
