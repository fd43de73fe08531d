"""What the gateway asks on its own account: keys, ended sessions and documents, all of them JSON objects.

A library's client would keep several megabytes in every replica for three requests a minute.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import cache
from typing import Any
from urllib.parse import urlsplit

import httptools
import orjson

_READ_BYTES = 65536
_MAX_HEAD_BYTES = 65536


class FetchError(Exception):
    """Nobody answered with a JSON object; the text says what came instead."""


class _Answer:
    """What the parser has read so far."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self.body = bytearray()
        self.is_complete = False

    def on_body(self, data: bytes) -> None:
        if len(self.body) + len(data) > self._max_bytes:
            raise FetchError(f"an answer of more than {self._max_bytes} bytes")
        self.body += data

    def on_message_complete(self) -> None:
        self.is_complete = True


@cache
def _trusted_authorities() -> ssl.SSLContext:
    """Loaded when something is fetched by HTTPS, which only a key set at another place than identity-service is."""
    return ssl.create_default_context()


async def fetch_object(
    url: str, *, seconds: float, max_bytes: int, headers: Mapping[str, str] | None = None
) -> dict[str, Any]:
    """GET `url`, in at most `seconds`: the JSON object of an answer 200 of at most `max_bytes`.

    Redirects are not followed, and proxies of the environment not used. Raises `FetchError`.
    """
    try:
        async with asyncio.timeout(seconds):
            body = await _get(url, max_bytes, headers or {})
        document = orjson.loads(body)
    except (OSError, TimeoutError, ValueError, httptools.HttpParserError, httptools.HttpParserUpgrade) as error:
        # The parser wraps what a callback raises.
        reason = error.__context__ if isinstance(error.__context__, FetchError) else error
        raise FetchError(f"{type(reason).__name__}: {reason}") from error
    if not isinstance(document, dict):
        raise FetchError("no JSON object")
    return document


async def _get(url: str, max_bytes: int, headers: Mapping[str, str]) -> bytes:
    parts = urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise FetchError("no address of a server")
    tls = _trusted_authorities() if parts.scheme == "https" else None
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port or (443 if tls else 80), ssl=tls)
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        lines = {"Host": parts.netloc.rpartition("@")[2], "Accept": "*/*", "Connection": "close", **headers}
        head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        writer.write(f"GET {target} HTTP/1.1\r\n{head}\r\n".encode())
        return await _read(reader, max_bytes)
    finally:
        writer.transport.abort()


async def _read(reader: asyncio.StreamReader, max_bytes: int) -> bytes:
    answer = _Answer(max_bytes)
    parser = httptools.HttpResponseParser(answer)
    received = 0
    while not answer.is_complete:
        data = await reader.read(_READ_BYTES)
        if not data:
            raise FetchError("an answer that was cut off")
        received += len(data)
        if received > max_bytes * 2 + _MAX_HEAD_BYTES:
            raise FetchError("an answer without end")
        parser.feed_data(data)
    if (status := parser.get_status_code()) != 200:
        raise FetchError(f"status {status}")
    return bytes(answer.body)


async def first_object(urls: Sequence[str], fetch: Callable[[str], Awaitable[dict[str, Any]]]) -> dict[str, Any]:
    """What `fetch` makes of the first of `urls` that answers; raises the last `FetchError` when none does."""
    failure = FetchError("no address is configured")
    for url in urls:
        try:
            return await fetch(url)
        except FetchError as error:
            failure = error
    raise failure
