"""A service that records what it gets and answers as told; it parses by hand, to share no parser's mistakes."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class RecordedRequest:
    """One request as it came: `raw_head` and `body` are the bytes on the wire."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    raw_head: bytes
    body: bytes = b""

    def values(self, name: str) -> list[str]:
        """Every value of a header, whatever the case of its name."""
        return [value for key, value in self.headers if key.lower() == name]


@dataclass
class Exchange:
    """What a handler works with."""

    request: RecordedRequest
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    close: bool = False

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def answer(self, status: int, body: bytes = b"", headers: Mapping[str, str] | None = None) -> None:
        """A complete answer with a content length."""
        lines = [f"HTTP/1.1 {status} Whatever", f"content-length: {len(body)}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        await self.send("\r\n".join(lines).encode() + b"\r\n\r\n" + body)

    async def answer_json(self, document: Any, status: int = 200) -> None:
        await self.answer(status, json.dumps(document).encode(), {"content-type": "application/json"})


DOCUMENT = "/openapi.json"
"""Fetched by the gateway on its own account, hence not recorded."""

Handler = Callable[[Exchange], Awaitable[None]]


async def echo(exchange: Exchange) -> None:
    """Tell what was asked."""
    await exchange.answer_json({"target": exchange.request.target, "body": exchange.request.body.decode("latin-1")})


async def _not_found(exchange: Exchange) -> None:
    await exchange.answer(404)


@dataclass
class RecordingUpstream:
    """A running service. `paths` holds handlers by path; anything else goes to `handler`.

    `connections` counts those that a recorded request came by.
    """

    handler: Handler = echo
    paths: dict[str, Handler] = field(default_factory=dict)
    requests: list[RecordedRequest] = field(default_factory=list)
    bytes_received: int = 0
    connections: int = 0
    lost: int = 0
    port: int = 0
    _server: asyncio.Server | None = None
    _writers: set[asyncio.StreamWriter] = field(default_factory=set)
    _busy: set[asyncio.StreamWriter] = field(default_factory=set)
    _last_left: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def seen(self, target: str) -> list[RecordedRequest]:
        """The requests for exactly this target."""
        return [request for request in self.requests if request.target == target]

    async def start(self) -> None:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", self.port, limit=2**20)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop at once, breaking every connection off."""
        if self._server is not None:
            self._server.close()
            for writer in list(self._writers):
                writer.transport.abort()
            await self._server.wait_closed()
            await asyncio.sleep(0)
            self._server = None

    async def drain(self) -> None:
        """Stop as a service does that is told to: take no more, finish what is under way, hang up."""
        server, self._server = self._server, None
        if server is not None:
            server.close()
            for writer in self._writers - self._busy:
                writer.close()
            await server.wait_closed()
            if self._writers:
                self._last_left.clear()
                await self._last_left.wait()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._writers.add(writer)
        is_counted = False
        try:
            while (request := await self._read_head(reader)) is not None:
                path = request.target.partition("?")[0]
                if path == DOCUMENT:
                    self.bytes_received -= len(request.raw_head)
                    await self.paths.get(path, _not_found)(Exchange(request, reader, writer))
                    continue
                self.connections += not is_counted
                is_counted = True
                self._busy.add(writer)
                self.requests.append(request)
                exchange = Exchange(request, reader, writer)
                handler = self.paths.get(path, self.handler)
                if not getattr(handler, "reads_body_itself", False):
                    await self._read_body(request, reader)
                await handler(exchange)
                self._busy.discard(writer)
                if exchange.close or self._server is None:
                    break
        except (ConnectionError, asyncio.IncompleteReadError):
            self.lost += 1
        finally:
            self._writers.discard(writer)
            self._busy.discard(writer)
            if not self._writers:
                self._last_left.set()
            writer.close()

    async def _read_head(self, reader: asyncio.StreamReader) -> RecordedRequest | None:
        try:
            raw = await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            self.bytes_received += len(error.partial)
            return None
        self.bytes_received += len(raw)
        first, *lines = raw.decode("latin-1").rstrip("\r\n").split("\r\n")
        method, target, _ = first.split(" ")
        headers = [(name, value.strip()) for name, _, value in (line.partition(":") for line in lines)]
        return RecordedRequest(method, target, headers, raw)

    async def _read_body(self, request: RecordedRequest, reader: asyncio.StreamReader) -> None:
        if request.values("transfer-encoding"):
            while (size := int((await reader.readuntil(b"\r\n")).strip(), 16)) > 0:
                request.body += await reader.readexactly(size)
                await reader.readexactly(2)
            await reader.readexactly(2)
        elif length := request.values("content-length"):
            request.body = await reader.readexactly(int(length[0]))
        self.bytes_received += len(request.body)


@asynccontextmanager
async def recording_upstream(handler: Handler = echo, **paths: Handler) -> AsyncIterator[RecordingUpstream]:
    """A service that runs for the length of a test."""
    upstream = RecordingUpstream(handler, dict(paths))
    await upstream.start()
    try:
        yield upstream
    finally:
        await upstream.stop()
