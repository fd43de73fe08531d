"""Two small pages for people: the list of mails, and one mail. They work without script and with a screen reader."""

from __future__ import annotations

import re
from html import escape

from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from mail_catcher.mails import Mail, Mailbox

# A caught mail is foreign text: nothing in it is run, fetched or framed.
_HEADERS = {
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'; form-action 'none'",
    "x-frame-options": "DENY",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cache-control": "no-store",
}
_LINK = re.compile(r"https?://[^\s<>\"')\]]+")
_FRAME = """<!doctype html>
<html lang="en">
<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; font: 16px/1.5 system-ui, sans-serif }}
body {{ max-width: 70rem; margin: 0 auto; padding: 1rem }}
table {{ border-collapse: collapse; width: 100% }}
caption {{ text-align: left }}
th, td {{ text-align: left; vertical-align: top; padding: .4rem .8rem .4rem 0; border-bottom: 1px solid #8886 }}
pre {{ white-space: pre-wrap; overflow-wrap: anywhere }}
</style></head>
<body><main>
{content}
</main></body></html>
"""


class MailPages:
    """The pages, over one mailbox."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    def routes(self) -> list[Route]:
        """What a Starlette application serves."""
        return [Route("/", self._list, methods=["GET"]), Route("/view/{id}", self._view, methods=["GET"])]

    async def _list(self, request: Request) -> Response:
        mails = self._mailbox.newest_first(request.query_params.get("query", ""))
        if not mails:
            return _page("Mails", "<h1>Mails</h1>\n<p>No mail has come yet. Load this page again to look.</p>")
        rows = "\n".join(_row(mail) for mail in mails)
        head = "<tr><th scope=col>Received</th><th scope=col>To</th><th scope=col>Subject</th></tr>"
        caption = f"<caption>{len(mails)} caught and not delivered, newest first</caption>"
        return _page(
            "Mails", f"<h1>Mails</h1>\n<table>{caption}\n<thead>{head}</thead>\n<tbody>\n{rows}\n</tbody></table>"
        )

    async def _view(self, request: Request) -> Response:
        mail = self._mailbox.find(request.path_params["id"])
        if mail is None:
            return _page("No such mail", '<h1>No such mail</h1>\n<p><a href="/">All mails</a></p>', 404)
        return _page(mail.header("Subject") or "(no subject)", _mail(mail))


def _page(title: str, content: str, status: int = 200) -> Response:
    return HTMLResponse(_FRAME.format(title=escape(title), content=content), status, headers=_HEADERS)


def _received(mail: Mail) -> str:
    return f"<time datetime={mail.received_at.isoformat()}>{mail.received_at:%Y-%m-%d %H:%M:%S} UTC</time>"


def _row(mail: Mail) -> str:
    subject = escape(mail.header("Subject") or "(no subject)")
    link = f'<a href="/view/{mail.id}">{subject}</a>'
    return f"<tr><td>{_received(mail)}</td><td>{escape(', '.join(mail.recipients))}</td><td>{link}</td></tr>"


def _mail(mail: Mail) -> str:
    fields = (("From", mail.header("From") or mail.sender), ("To", ", ".join(mail.recipients)))
    rows = "".join(f"<tr><th scope=row>{name}</th><td>{escape(value)}</td></tr>" for name, value in fields)
    text = mail.body("plain") or mail.body("html")
    return (
        f'<p><a href="/">All mails</a></p>\n<h1>{escape(mail.header("Subject") or "(no subject)")}</h1>\n'
        f"<table>{rows}<tr><th scope=row>Received</th><td>{_received(mail)}</td></tr></table>\n"
        f"<pre>{_with_links(text)}</pre>"
    )


def _with_links(text: str) -> str:
    """The text as HTML; web addresses can be followed, everything else is only text."""
    pieces = []
    position = 0
    for match in _LINK.finditer(text):
        address = escape(match.group())
        pieces += [escape(text[position : match.start()]), f'<a href="{address}" rel="noreferrer">{address}</a>']
        position = match.end()
    return "".join([*pieces, escape(text[position:])])
