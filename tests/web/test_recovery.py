"""A forgotten password, recovered with the very link that the mail contains."""

import re
from urllib.parse import urlsplit

import httpx
from playwright.async_api import expect
from suite_client import Person, environment, unique, until
from web_visitor import NewVisitor

NEW_PASSWORD = "two bicycles for one fish"


def mailed_link(email: str) -> str:
    """The link in the newest mail to `email`."""
    with httpx.Client(base_url=environment("STACK_MAIL_API_URL"), trust_env=False) as mails:

        def arrived() -> list[str]:
            messages = mails.get("/api/v1/messages").json()["messages"]
            mine = [message["ID"] for message in messages if message["To"][0]["Address"] == email]
            text = mails.get(f"/api/v1/message/{mine[0]}").json()["Text"] if mine else ""
            return re.findall(r"^http\S+", text, re.MULTILINE)

        return str(until(arrived, 20, "the mail")[0])


async def test_the_link_of_the_mail_leads_to_a_new_password_once(new_visitor: NewVisitor, someone: Person) -> None:
    visitor = await new_visitor("pt-BR")
    page = visitor.page
    await visitor.follow("login.forgot", "forgot.title")
    await visitor.fill("email", someone.email)
    await visitor.press("forgot.submit")
    await expect(page.get_by_text(visitor.text("forgot.done"))).to_be_focused()

    link = mailed_link(someone.email)
    # The same gateway by the name that PUBLIC_WEB_URL gives it.
    visitor.own_hosts.add(urlsplit(link).netloc)
    await page.goto(link)
    await visitor.heading("reset.title")
    assert "token" not in page.url, "the token stays neither in the address nor in the history"
    await visitor.fill("reset.password", "qwertyqwerty")
    await visitor.press("reset.submit")
    await expect(page.locator('[data-field="newPassword"] .refusal')).not_to_be_empty()
    await visitor.fill("reset.password", NEW_PASSWORD)
    await visitor.press("reset.submit")
    await visitor.told("reset.done")
    await visitor.log_in(someone.email, someone.password)
    await expect(page.get_by_role("alert")).to_contain_text("E-mail ou senha incorretos")
    await visitor.log_in(someone.email, NEW_PASSWORD)
    await visitor.heading("movies.title")

    await page.goto(link)
    await visitor.heading("reset.title")
    await visitor.fill("reset.password", f"{NEW_PASSWORD} {unique('again')}")
    await visitor.press("reset.submit")
    await expect(page.get_by_role("alert")).to_contain_text("já foi usado")


async def test_the_address_of_the_link_without_a_token_asks_for_a_mail(new_visitor: NewVisitor) -> None:
    visitor = await new_visitor()
    await visitor.visit("/reset-password")
    await visitor.heading("forgot.title")
