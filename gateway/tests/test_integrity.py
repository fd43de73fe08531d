"""Every answer belongs to its own request, whoever leaves and whatever restarts meanwhile.

`GATEWAY_TEST_REQUESTS=100000` makes it the long run; a smaller number is asked in the ordinary one.
"""

import asyncio
import itertools
import os
import random
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from chassis.testing.tokens import TokenIssuer
from gateway.testing.process import RawClient, RunningGateway, StartGateway
from gateway.testing.upstream import Exchange, RecordingUpstream, recording_upstream

REQUESTS = int(os.environ.get("GATEWAY_TEST_REQUESTS", "3000"))
WORKERS = 64
# So that no token is used for longer than it lives.
REQUESTS_PER_CONNECTION = 200


def expected(mark: str) -> bytes:
    """What belongs to a mark: nothing like any other mark's, and of another length."""
    return f"{mark}:".encode() * (int(mark[-3:]) % 400 + 1)


async def reflect(exchange: Exchange) -> None:
    """The answer of the mark that is in the body or else in the query, in one of two framings."""
    mark = exchange.request.body.decode().partition(":")[0] or exchange.request.target.partition("=")[2]
    body = expected(mark)
    if exchange.request.body and exchange.request.body != body:
        await exchange.answer(500, b"the body is not whole")
    elif int(mark[-1]) % 3 == 0:
        parts = b"".join(b"%x\r\n%s\r\n" % (len(p), p) for p in (body[i : i + 3000] for i in range(0, len(body), 3000)))
        await exchange.send(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n" + parts + b"0\r\n\r\n")
    else:
        await exchange.answer(200, body)


def request(mark: str, token: str) -> bytes:
    """A request of its own kind for each mark; all of them may be repeated, as restarts need."""
    head = f"Host: x\r\nAuthorization: Bearer {token}\r\n"
    if int(mark[-2:]) % 5:
        return f"GET /v1/movies?mark={mark} HTTP/1.1\r\n{head}\r\n".encode()
    body = expected(mark)
    return f"PUT /v1/watched/1 HTTP/1.1\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode() + body


async def answer(client: RawClient) -> tuple[int, bytes]:
    """Status and body of the next answer, however it is framed."""
    head = (await client.reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
    status = int(head.split(" ")[1])
    if "transfer-encoding: chunked" not in head:
        length = head.partition("content-length: ")[2].partition("\r\n")[0]
        return status, await client.reader.readexactly(int(length))
    body = b""
    while size := int(await client.reader.readuntil(b"\r\n"), 16):
        body += (await client.reader.readexactly(size + 2))[:-2]
    await client.reader.readexactly(2)
    return status, body


@dataclass
class Run:
    """The clients of one run, and what they noticed."""

    gateway: RunningGateway
    issuer: TokenIssuer
    numbers: Iterator[int] = field(default_factory=itertools.count)
    wrong: list[str] = field(default_factory=list)
    left: int = 0
    restarts: int = 0
    is_over: bool = False

    async def ask(self) -> None:
        """Take the next number until all have been asked for."""
        while await self._ask_on_one_connection():
            pass

    async def _ask_on_one_connection(self) -> bool:
        client = await self.gateway.connect()
        token = self.issuer.token()
        try:
            for _ in range(REQUESTS_PER_CONNECTION):
                if (number := next(self.numbers)) >= REQUESTS:
                    return False
                mark = f"{number:012d}"
                await client.send(request(mark, token))
                got = await answer(client)
                if got != (200, expected(mark)):
                    self.wrong.append(f"{mark}: {got[0]} {got[1][:80]!r}")
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            self.wrong.append(f"{mark}: {error!r}")
        finally:
            await client.close()
        return True

    async def leave(self) -> None:
        """Ask, and be gone before, while or after the answer comes."""
        while not self.is_over:
            token = self.issuer.token()
            client = await self.gateway.connect()
            await client.send(request(f"{random.randrange(10**12):012d}", token))
            await asyncio.sleep(random.random() * 0.02)
            client.abort()
            self.left += 1

    async def restart(self, *upstreams: RecordingUpstream) -> None:
        """Take one service after the other down and up again."""
        for upstream in itertools.cycle(upstreams):
            if self.is_over:
                return
            await asyncio.sleep(1.0)
            await upstream.drain()
            upstream.requests.clear()
            await asyncio.sleep(0.1)
            await upstream.start()
            self.restarts += 1


@pytest.mark.timeout(120 + REQUESTS // 40)
async def test_no_answer_is_swapped_truncated_or_lost(start_gateway: StartGateway, token_issuer: TokenIssuer) -> None:
    limits = {"address_rate": 10**6, "address_burst": 10**6, "user_rate": 10**5, "user_burst": 10**5}
    # The stand-ins share two cores with everything else; how long a connection may take is not what is asked here.
    limits |= {"connect_seconds": 5, "upstream_wait_seconds": 5}
    async with recording_upstream(reflect) as one, recording_upstream(reflect) as two:  # noqa: SIM117
        async with start_gateway(catalog=f"{one.url},{two.url}", watch=f"{two.url},{one.url}", **limits) as gateway:
            run = Run(gateway, token_issuer)
            disturbing = [asyncio.create_task(run.leave()) for _ in range(6)]
            disturbing.append(asyncio.create_task(run.restart(one, two)))
            await asyncio.gather(*(run.ask() for _ in range(WORKERS)))
            run.is_over = True
            await asyncio.gather(*disturbing)
    assert run.wrong == []
    assert run.restarts > 0
    assert run.left > 0
