"""What comes in over SMTP can be read over HTTP in Mailpit's form, on a page, and is bounded."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from email.message import EmailMessage

import httpx
import pytest

from mail_catcher.mails import Mail, Mailbox
from mail_catcher.settings import Settings, SettingsError

MakeMail = Callable[..., EmailMessage]
Send = Callable[[EmailMessage], None]


async def test_a_mail_is_listed_and_read(client: httpx.AsyncClient, make_mail: MakeMail, send: Send) -> None:
    mail = make_mail("Your link: https://example.com/reset?token=a-b_c\n", To="Ann <ann@example.com>", Subject="Größe")
    mail.add_alternative("<p>Your link</p>", subtype="html")
    await asyncio.to_thread(send, mail)

    listed = (await client.get("/api/v1/messages")).json()
    assert (listed["total"], listed["count"], listed["messages_count"], listed["start"]) == (1, 1, 1, 0)
    summary = listed["messages"][0]
    assert summary["From"] == {"Name": "Suite", "Address": "no-reply@example.com"}
    assert summary["To"] == [{"Name": "Ann", "Address": "ann@example.com"}]
    assert summary["Subject"] == "Größe"
    assert summary["Snippet"].startswith("Your link: https://")
    assert summary["Created"].endswith("Z")

    read = (await client.get(f"/api/v1/message/{summary['ID']}")).json()
    assert "token=a-b_c" in read["Text"]
    assert "<p>Your link</p>" in read["HTML"]
    assert read["ReturnPath"] == "no-reply@example.com"
    assert (await client.get("/api/v1/message/latest")).json() == read
    assert b"Subject:" in (await client.get(f"/api/v1/message/{summary['ID']}/raw")).content


async def test_the_newest_comes_first_and_pages_can_be_taken(
    client: httpx.AsyncClient, make_mail: MakeMail, send: Send
) -> None:
    for number in range(3):
        await asyncio.to_thread(send, make_mail(Subject=f"Number {number}"))
    listed = (await client.get("/api/v1/messages?start=1&limit=1")).json()
    assert [mail["Subject"] for mail in listed["messages"]] == ["Number 1"]
    assert (listed["total"], listed["count"], listed["messages_count"]) == (3, 1, 3)


async def test_only_the_latest_mails_are_kept(client: httpx.AsyncClient, make_mail: MakeMail, send: Send) -> None:
    for number in range(7):
        await asyncio.to_thread(send, make_mail(Subject=f"Number {number}"))
    subjects = [mail["Subject"] for mail in (await client.get("/api/v1/messages")).json()["messages"]]
    assert subjects == [f"Number {number}" for number in (6, 5, 4, 3, 2)]


def test_the_box_is_bounded_in_bytes_too() -> None:
    box = Mailbox(max_mails=100, max_bytes=1000)
    for _ in range(5):
        box.add(Mail.of("a@example.com", ["b@example.com"], b"x" * 400))
    assert len(box) == 2
    box.add(Mail.of("a@example.com", ["b@example.com"], b"x" * 5000))
    assert len(box) == 1, "one mail is always kept, however large"


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ("to:ann@example.com", ["For Ann"]),
        ("to:ANN@example.com", ["For Ann"]),
        ('to:"bob@example.com"', ["For Bob"]),
        ("subject:for", ["For Bob", "For Ann"]),
        ("from:no-reply to:bob", ["For Bob"]),
        ("hidden", ["For Bob"]),
        ("to:nobody@example.com", []),
    ],
)
async def test_mails_can_be_searched(
    client: httpx.AsyncClient, make_mail: MakeMail, send: Send, query: str, found: list[str]
) -> None:
    await asyncio.to_thread(send, make_mail(Subject="For Ann"))
    await asyncio.to_thread(send, make_mail("a hidden word", To="bob@example.com", Subject="For Bob"))
    for path in ("/api/v1/search", "/api/v1/messages"):
        answer = (await client.get(path, params={"query": query})).json()
        assert [mail["Subject"] for mail in answer["messages"]] == found


async def test_a_blind_copy_is_known_from_the_envelope(
    client: httpx.AsyncClient, make_mail: MakeMail, send: Send
) -> None:
    await asyncio.to_thread(send, make_mail(Bcc="carl@example.com"))
    mail = (await client.get("/api/v1/messages?query=to:carl")).json()["messages"][0]
    assert mail["Bcc"] == [{"Name": "", "Address": "carl@example.com"}]


async def test_mails_can_be_deleted(client: httpx.AsyncClient, make_mail: MakeMail, send: Send) -> None:
    for name in ("ann", "bob", "carl"):
        await asyncio.to_thread(send, make_mail(To=f"{name}@example.com"))

    async def left() -> list[str]:
        mails = (await client.get("/api/v1/messages")).json()["messages"]
        return [mail["To"][0]["Address"].partition("@")[0] for mail in mails]

    newest = (await client.get("/api/v1/message/latest")).json()["ID"]
    await client.request("DELETE", "/api/v1/messages", json={"IDs": [newest]})
    assert await left() == ["bob", "ann"]
    assert (await client.request("DELETE", "/api/v1/messages", content=b"{")).status_code == 400
    assert (await client.delete("/api/v1/search")).status_code == 400
    await client.delete("/api/v1/search?query=to:bob")
    assert await left() == ["ann"]
    assert (await client.delete("/api/v1/messages")).text == "ok"
    assert await left() == []


async def test_an_unknown_mail_is_404(client: httpx.AsyncClient) -> None:
    for path in ("/api/v1/message/none", "/api/v1/message/latest", "/api/v1/message/none/raw", "/view/none"):
        assert (await client.get(path)).status_code == 404


async def test_the_pages_show_foreign_text_as_text(client: httpx.AsyncClient, make_mail: MakeMail, send: Send) -> None:
    assert "No mail has come yet" in (await client.get("/")).text
    await asyncio.to_thread(send, make_mail("<script>x</script> https://example.com/?a=1&b=2", Subject="<b>bold</b>"))
    mail_id = (await client.get("/api/v1/message/latest")).json()["ID"]
    page = await client.get("/")
    assert f'<a href="/view/{mail_id}">&lt;b&gt;bold&lt;/b&gt;</a>' in page.text
    view = await client.get(f"/view/{mail_id}")
    assert "&lt;script&gt;x&lt;/script&gt;" in view.text
    assert '<a href="https://example.com/?a=1&amp;b=2" rel="noreferrer">' in view.text
    assert "default-src 'none'" in view.headers["content-security-policy"]


@pytest.mark.parametrize(
    "raw",
    [b"", b"no headers at all", b"Content-Type: text/plain; charset=nonsense\r\n\r\nsome text \xff", b"\xff\xfe\x00"],
)
def test_what_is_no_good_mail_is_kept_all_the_same(raw: bytes) -> None:
    mail = Mail.of("", ["ann@example.com"], raw)
    assert mail.matches("to:ann")
    assert isinstance(mail.body("plain"), str)
    assert mail.body("html") == ""


@pytest.mark.parametrize("value", ["x", "-1", "65536", "80 80"])
def test_an_unusable_setting_is_named(value: str) -> None:
    with pytest.raises(SettingsError, match="MAIL_CATCHER_SMTP_PORT"):
        Settings.from_environment({"MAIL_CATCHER_SMTP_PORT": value})


def _free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


async def _until_ready(url: str, seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    async with httpx.AsyncClient(trust_env=False) as http:
        while True:
            try:
                if (await http.get(url)).status_code == 200:
                    return
            except httpx.TransportError:
                assert time.monotonic() < deadline, f"{url} does not answer"
            await _pause()


def _pause() -> Awaitable[None]:
    return asyncio.sleep(0.05)


async def test_the_program_ends_well_on_sigterm() -> None:
    http_port, smtp_port = _free_port(), _free_port()
    ports = {"MAIL_CATCHER_HTTP_PORT": str(http_port), "MAIL_CATCHER_SMTP_PORT": str(smtp_port)}
    program = subprocess.Popen(  # noqa: ASYNC220 - starting it takes no time worth a thread
        [sys.executable, "-m", "mail_catcher"], env=os.environ | ports, stderr=subprocess.PIPE
    )
    with program:
        await _until_ready(f"http://127.0.0.1:{http_port}/readyz")
        program.send_signal(signal.SIGTERM)
        _, errors = await asyncio.to_thread(program.communicate, timeout=10)
    assert program.returncode == 0
    assert b"Traceback" not in errors
