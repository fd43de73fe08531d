"""The API's documentation in a browser that has no internet: it shows every route, logs in and calls."""

import re

import pytest
from playwright.async_api import Locator, Page, expect
from suite_client import Person
from web_visitor import NewVisitor, Visitor

pytestmark = pytest.mark.timeout(400)


async def open_documentation(visitor: Visitor) -> None:
    """Swagger UI draws some fifty operations at once, which takes a minute on a machine that does much else besides."""
    await visitor.visit("/docs")
    await visitor.page.locator(".opblock").first.wait_for(timeout=200_000)


async def try_out(operation: Locator, body: str | None = None) -> Locator:
    """Open an operation of Swagger UI and execute it; the live answer."""
    await operation.locator(".opblock-summary-control").click()
    await operation.get_by_role("button", name="Try it out").click()
    if body is not None:
        await operation.locator("textarea.body-param__text").fill(body)
    await operation.get_by_role("button", name="Execute").click()
    return operation.locator(".live-responses-table .response").first


def operation(page: Page, method: str, path: str) -> Locator:
    return page.locator(f'.opblock-{method}:has([data-path="{path}"])')


async def test_whoever_logs_in_goes_on_as_who_they_are_until_they_log_out(
    new_visitor: NewVisitor, someone: Person
) -> None:
    visitor = await new_visitor()
    page = visitor.page
    await open_documentation(visitor)
    me = operation(page, "get", "/v1/users/me")
    answer = await try_out(me)
    await expect(answer.locator(".response-col_status")).to_contain_text("401")

    body = f'{{"email": "{someone.email}", "password": "{someone.password}"}}'
    answer = await try_out(operation(page, "post", "/v1/auth/login"), body)
    await expect(answer.locator(".response-col_status")).to_contain_text("200")
    execute = me.get_by_role("button", name="Execute")
    await execute.click()
    answer = me.locator(".live-responses-table .response").first
    await expect(answer.locator(".response-col_status")).to_contain_text("200")
    await expect(answer.locator(".response-col_description")).to_contain_text(someone.email)

    answer = await try_out(operation(page, "post", "/v1/auth/logout"))
    await expect(answer.locator(".response-col_status")).to_contain_text("204")
    await execute.click()
    answer = me.locator(".live-responses-table .response").first
    await expect(answer.locator(".response-col_status")).to_contain_text("401")


async def test_a_token_from_elsewhere_can_be_given(new_visitor: NewVisitor, someone: Person) -> None:
    visitor = await new_visitor()
    page = visitor.page
    await open_documentation(visitor)
    await page.get_by_role("button", name="Authorize").first.click()
    dialog = page.locator(".modal-ux")
    await dialog.locator("input").first.fill(someone.tokens["accessToken"])
    await dialog.get_by_role("button", name=re.compile("Apply credentials|Authorize")).first.click()
    await dialog.get_by_role("button", name="Close").last.click()
    answer = await try_out(operation(page, "get", "/v1/users/me"))
    await expect(answer.locator(".response-col_status")).to_contain_text("200")
    await expect(answer.locator(".response-col_description")).to_contain_text(someone.email)


async def test_a_problem_is_explained_where_its_type_leads(new_visitor: NewVisitor, someone: Person) -> None:
    problem = someone.get("/v1/packages/01900000-0000-7000-8000-000000000000").json()
    visitor = await new_visitor()
    page = visitor.page
    await visitor.visit(problem["type"])
    entry = page.locator("dt:target")
    await expect(entry).to_be_in_viewport()
    await expect(entry).to_contain_text(problem["code"])
    await expect(page.locator("dt:target + dd")).to_have_text(problem["detail"])
    await (
        page.locator("dt:target + dd + dd").get_by_role("link", name="GET /v1/packages/{packageId}", exact=True).click()
    )
    await expect(operation(page, "get", "/v1/packages/{packageId}")).to_have_class(re.compile("is-open"))
