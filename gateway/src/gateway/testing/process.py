"""The real gateway process for tests, and clients that write what no library would."""

import asyncio
import os
import secrets
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from chassis.testing.tokens import TokenIssuer
from gateway.testing.upstream import Exchange, Handler, RecordingUpstream, echo

StartGateway = Callable[..., AbstractAsyncContextManager["RunningGateway"]]
"""Starts a gateway with settings of a test's own; the names of services replace their addresses."""

NO_BROKER = "amqp://nobody:nothing@127.0.0.1:1/"


def free_port() -> int:
    """A port that nobody listens on at the moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Identity(RecordingUpstream):
    """A recording upstream that also gives the keys and the revocations, as identity-service does."""

    def __init__(self, issuer: TokenIssuer, handler: Handler = echo) -> None:
        super().__init__(handler)
        self.issuer = issuer
        self.revocations: dict[str, Any] = {"sessions": [], "users": [], "asOf": "2026-01-01T00:00:00Z"}
        self.serves_keys = True
        self.paths["/.well-known/jwks.json"] = self._keys
        self.paths["/internal/v1/revocations"] = self._snapshot

    async def _keys(self, exchange: Exchange) -> None:
        if self.serves_keys:
            await exchange.answer_json(self.issuer.jwks())
        else:
            await exchange.answer(500, b"no keys")

    async def _snapshot(self, exchange: Exchange) -> None:
        await exchange.answer_json(self.revocations)


@dataclass
class RunningGateway:
    """A gateway process of one test or module."""

    port: int
    ops_port: int
    process: asyncio.subprocess.Process
    log: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def client(self) -> httpx.AsyncClient:
        """A well-behaved client."""
        return httpx.AsyncClient(base_url=self.url, trust_env=False, timeout=20)

    async def connect(self) -> "RawClient":
        """A client that sends bytes."""
        return RawClient(*await asyncio.open_connection("127.0.0.1", self.port, limit=2**22))

    async def exchange(self, data: bytes, *, seconds: float = 5.0) -> bytes:
        """Send `data`, and everything that comes back until the gateway closes or is silent."""
        client = await self.connect()
        try:
            await client.send(data)
            return await client.read_all(seconds=seconds)
        finally:
            await client.close()

    async def metrics(self) -> dict[str, float]:
        """Every sample by its name and labels, as Prometheus' text has them."""
        async with httpx.AsyncClient(trust_env=False) as client:
            text = (await client.get(f"http://127.0.0.1:{self.ops_port}/metrics")).text
        samples = (line.rsplit(" ", 1) for line in text.splitlines() if line and not line.startswith("#"))
        return {name: float(value) for name, value in samples}

    async def readiness(self) -> int:
        async with httpx.AsyncClient(trust_env=False) as client:
            try:
                return (await client.get(f"http://127.0.0.1:{self.ops_port}/readyz")).status_code
            except httpx.TransportError:
                return 0

    def resident_bytes(self) -> int:
        """The memory of the process."""
        pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


class RawClient:
    """A connection on which a test decides every byte."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def read_all(self, *, seconds: float = 5.0) -> bytes:
        """Until the other side closes, or nothing comes for `seconds`."""
        received = b""
        while True:
            try:
                async with asyncio.timeout(seconds):
                    data = await self.reader.read(65536)
            except (TimeoutError, ConnectionError):
                return received
            if not data:
                return received
            received += data

    async def read_answer(self) -> tuple[int, dict[str, str], bytes]:
        """One answer with a content length."""
        head = (await asyncio.wait_for(self.reader.readuntil(b"\r\n\r\n"), 10)).decode("latin-1")
        first, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        return int(first.split(" ")[1]), headers, body

    def abort(self) -> None:
        """Leave without a word."""
        self.writer.transport.abort()

    async def close(self) -> None:
        self.writer.close()
        try:
            await self.writer.wait_closed()
        except ConnectionError:
            return


async def eventually(condition: Any, *, seconds: float = 5.0) -> None:
    """Wait until `condition()` is true; fail after `seconds`."""
    deadline = asyncio.get_running_loop().time() + seconds
    while not condition():
        if asyncio.get_running_loop().time() > deadline:
            raise TimeoutError("did not happen in time")
        await asyncio.sleep(0.01)


@asynccontextmanager
async def running_gateway(
    folder: Path, upstreams: Mapping[str, str], *, wait_ready: bool = True, **settings: object
) -> AsyncIterator[RunningGateway]:
    """Start `python -m gateway` with `settings` (names without the prefix) and stop it at the end."""
    port, ops_port = free_port(), free_port()
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("GATEWAY_")},
        **{f"GATEWAY_{name.upper()}_URLS": url for name, url in upstreams.items()},
        "GATEWAY_PORT": str(port),
        "GATEWAY_OPS_PORT": str(ops_port),
        "GATEWAY_BROKER_URL": NO_BROKER,
        "GATEWAY_INTERNAL_TOKEN": secrets.token_hex(16),
        "GATEWAY_DRAIN_NOTICE_SECONDS": "0",
        **{f"GATEWAY_{name.upper()}": str(value) for name, value in settings.items()},
    }
    log = folder / f"gateway-{port}.log"
    with log.open("wb") as output:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "gateway", env=environment, stdout=output, stderr=output
        )
    gateway = RunningGateway(port, ops_port, process, log)
    try:
        await _answering(gateway, 200 if wait_ready else None)
        yield gateway
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGTERM)
            try:
                await asyncio.wait_for(process.wait(), 10)
            except TimeoutError:
                process.kill()
                await process.wait()


async def _answering(gateway: RunningGateway, status: int | None) -> None:
    deadline = asyncio.get_running_loop().time() + 60
    while True:
        answer = await gateway.readiness()
        if answer == status or (status is None and answer):
            return
        if gateway.process.returncode is not None or asyncio.get_running_loop().time() > deadline:
            raise RuntimeError(f"the gateway does not answer:\n{gateway.log.read_text()}")
        await asyncio.sleep(0.05)
