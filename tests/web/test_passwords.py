"""Fields for passwords are what browsers and password managers expect (OWASP ASVS 5.0, 6.2.6 and 6.2.7)."""

from playwright.async_api import expect
from web_visitor import NewVisitor

FIELDS = {
    "/#/login": ("login.title", "current-password"),
    "/#/register": ("register.title", "new-password"),
    f"/reset-password#token={'a' * 43}": ("reset.title", "new-password"),
}
# Whether somebody prevents the paste that a person or a helper makes.
_PASTE = """(field) => field.dispatchEvent(new ClipboardEvent("paste", { bubbles: true, cancelable: true }))"""


async def test_passwords_are_masked_and_may_be_pasted_and_managed(new_visitor: NewVisitor) -> None:
    for path, (title, purpose) in FIELDS.items():
        visitor = await new_visitor()
        await visitor.page.goto(f"{visitor.origin}{path}")
        await visitor.heading(title)
        field = visitor.page.locator(f'form input[autocomplete="{purpose}"]')
        await expect(field).to_have_count(1)
        await expect(field).to_have_attribute("type", "password")
        assert await field.evaluate(_PASTE), path
