"""Answers to reads: JSON with an entity tag, and CSV that is streamed."""

from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from typing import TypeVar

from fastapi import Request, Response
from fastapi.responses import StreamingResponse
from pydantic import BaseModel

from chassis.conditional import content_etag, is_current
from watch.api.negotiation import CSV, JSON

Item = TypeVar("Item")

_CACHE_CONTROL = "private, no-cache"
# What a spreadsheet takes for the beginning of a formula; https://owasp.org/www-community/attacks/CSV_Injection,
# with the full-width forms that some input methods write.
_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
# Beyond RFC 4180's own: what some spreadsheets take for a separator.
_QUOTED = frozenset('",\r\n;\t')


def read_answer(request: Request, shown: BaseModel, headers: dict[str, str] | None = None) -> Response:
    """`shown` as JSON, or 304 when the client has just that."""
    body = shown.model_dump_json(by_alias=True).encode()
    etag = content_etag(body)
    sent = {**(headers or {}), "ETag": etag, "Cache-Control": _CACHE_CONTROL, "Vary": "Accept"}
    if is_current(request.headers.get("if-none-match"), etag):
        return Response(status_code=304, headers=sent)
    return Response(body, media_type=JSON, headers=sent)


def csv_line(cells: Iterable[object]) -> str:
    """One record of RFC 4180. Text that a spreadsheet would run gets an apostrophe in front; None is empty."""
    return ",".join(map(_cell, cells)) + "\r\n"


def _cell(value: object) -> str:
    text = "" if value is None else str(value)
    if isinstance(value, str) and text.lstrip(" \u00a0\u200b\ufeff").startswith(_FORMULA):
        text = "'" + text
    return '"' + text.replace('"', '""') + '"' if _QUOTED & set(text) or text != text.strip() else text


async def csv_answer(
    name: str,
    header: Iterable[str],
    batches: AsyncIterator[Sequence[Item]],
    to_row: Callable[[Item], Iterable[object]],
) -> Response:
    """A file `name` with a header row and a row for each item, of which one batch is in memory at a time."""

    async def lines() -> AsyncIterator[str]:
        yield csv_line(header) + _lines(first)
        async for batch in batches:
            yield _lines(batch)

    def _lines(batch: Sequence[Item]) -> str:
        return "".join(csv_line(to_row(item)) for item in batch)

    # Before the status is sent, so that a store that does not answer is still a proper 503.
    first = await _next(batches)
    return StreamingResponse(
        lines(),
        media_type=f"{CSV}; charset=utf-8; header=present",
        headers={
            "Cache-Control": _CACHE_CONTROL,
            "Vary": "Accept",
            "Content-Disposition": f'attachment; filename="{name}"',
        },
    )


async def _next(batches: AsyncIterator[Sequence[Item]]) -> Sequence[Item]:
    async for batch in batches:
        return batch
    return ()
