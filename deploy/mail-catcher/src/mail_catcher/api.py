"""The part of Mailpit's HTTP API (https://mailpit.axllent.org/docs/api-v1/) that clients of a test mailbox use."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from mail_catcher.mails import Address, Mail, Mailbox

_DEFAULT_LIMIT = 50


def _address(address: Address) -> dict[str, str]:
    return {"Name": address.name, "Address": address.address}


def _addresses(addresses: Iterable[Address]) -> list[dict[str, str]]:
    return [_address(address) for address in addresses]


def _common(mail: Mail) -> dict[str, Any]:
    sender = mail.addresses("From") or [Address("", mail.sender)]
    return {
        "ID": mail.id,
        "MessageID": mail.header("Message-ID").strip("<>"),
        "From": _address(sender[0]),
        "To": _addresses(mail.addresses("To")),
        "Cc": _addresses(mail.addresses("Cc")),
        "Bcc": _addresses(mail.blind_copies()),
        "ReplyTo": _addresses(mail.addresses("Reply-To")),
        "Subject": mail.header("Subject"),
        "Tags": [],
        "Size": len(mail.raw),
    }


def _time(mail: Mail) -> str:
    return mail.received_at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _summary(mail: Mail) -> dict[str, Any]:
    attachments = sum(1 for _ in mail.message.iter_attachments()) if mail.message.is_multipart() else 0
    return _common(mail) | {
        "Read": False,
        "Created": _time(mail),
        "Attachments": attachments,
        "Snippet": mail.snippet(),
    }


def _detail(mail: Mail) -> dict[str, Any]:
    return _common(mail) | {
        "ReturnPath": mail.sender,
        "Date": _time(mail),
        "Text": mail.body("plain"),
        "HTML": mail.body("html"),
    }


def _whole_number(request: Request, name: str, default: int) -> int:
    text = request.query_params.get(name, "")
    return int(text) if text.isascii() and text.isdigit() else default


class MailApi:
    """The endpoints, over one mailbox."""

    def __init__(self, mailbox: Mailbox) -> None:
        self._mailbox = mailbox

    def routes(self) -> list[Route]:
        """What a Starlette application serves."""
        return [
            Route("/api/v1/messages", self._list, methods=["GET"]),
            Route("/api/v1/messages", self._delete, methods=["DELETE"]),
            Route("/api/v1/search", self._list, methods=["GET"]),
            Route("/api/v1/search", self._delete_found, methods=["DELETE"]),
            Route("/api/v1/message/{id}", self._read, methods=["GET"]),
            Route("/api/v1/message/{id}/raw", self._raw, methods=["GET"]),
        ]

    async def _list(self, request: Request) -> Response:
        found = self._mailbox.newest_first(request.query_params.get("query", ""))
        start = _whole_number(request, "start", 0)
        page = found[start : start + _whole_number(request, "limit", _DEFAULT_LIMIT)]
        return JSONResponse(
            {
                "total": len(self._mailbox),
                "unread": len(self._mailbox),
                "count": len(page),
                "messages_count": len(found),
                "messages_unread": len(found),
                "start": start,
                "tags": [],
                "messages": [_summary(mail) for mail in page],
            }
        )

    async def _delete(self, request: Request) -> Response:
        body = await request.body()
        ids: Any = None
        if body:
            try:
                content = await request.json()
            except ValueError:
                return JSONResponse({"Error": "the body is not JSON"}, 400)
            ids = content.get("IDs") if isinstance(content, Mapping) else None
        if ids:
            self._mailbox.remove(str(mail_id) for mail_id in ids)
        else:
            self._mailbox.clear()
        return PlainTextResponse("ok")

    async def _delete_found(self, request: Request) -> Response:
        query = request.query_params.get("query", "")
        if not query.strip():
            # An empty search finds everything, which nobody wants deleted by a slip.
            return JSONResponse({"Error": "query is missing"}, 400)
        self._mailbox.remove(mail.id for mail in self._mailbox.newest_first(query))
        return PlainTextResponse("ok")

    async def _read(self, request: Request) -> Response:
        mail = self._mailbox.find(request.path_params["id"])
        return JSONResponse(_detail(mail)) if mail else _not_found()

    async def _raw(self, request: Request) -> Response:
        mail = self._mailbox.find(request.path_params["id"])
        return Response(mail.raw, media_type="text/plain") if mail else _not_found()


def _not_found() -> Response:
    return JSONResponse({"Error": "message not found"}, 404)
