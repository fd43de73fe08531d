"""What is written in one turn of the loop goes out together, complete and in order."""

import asyncio
from typing import Any, cast

from gateway.batch import Batch, BatchedWriter
from gateway.upstream.balancer import Endpoint
from gateway.upstream.connection import UpstreamConnection


class Recording(asyncio.Transport):
    """A transport that keeps each write."""

    def __init__(self) -> None:
        super().__init__()
        self.writes: list[bytes] = []
        self.is_closed = False

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Nothing is buffered."""

    def write(self, data: Any) -> None:
        self.writes.append(data)

    def is_closing(self) -> bool:
        return self.is_closed


def connected(batch: Batch) -> tuple[UpstreamConnection, Recording]:
    transport = Recording()
    connection = UpstreamConnection(cast(Any, None), Endpoint("127.0.0.1", 1, b"host: x\r\n"), batch)
    connection.connection_made(transport)
    return connection, transport


async def test_the_writes_of_a_turn_leave_together_in_their_order() -> None:
    batch = Batch()
    (one, first), (other, second) = connected(batch), connected(batch)
    for part in (b"a", b"b", b"c"):
        one.write(part)
        other.write(part.upper())
    assert first.writes == second.writes == []
    await asyncio.sleep(0)
    assert (first.writes, second.writes) == ([b"abc"], [b"ABC"])
    one.write(b"d")
    await asyncio.sleep(0)
    assert first.writes == [b"abc", b"d"]


async def test_much_data_is_not_collected() -> None:
    connection, transport = connected(Batch())
    connection.write(b"a" * 10)
    connection.write(b"b" * 65536)
    assert transport.writes == [b"a" * 10 + b"b" * 65536]
    for _ in range(20):
        connection.write(b"c" * 1000)
    await asyncio.sleep(0)
    assert b"".join(transport.writes[1:]) == b"c" * 20_000
    assert len(transport.writes) == 3


async def test_a_connection_that_has_gone_meanwhile_gets_nothing() -> None:
    connection, transport = connected(Batch())
    connection.write(b"a")
    transport.is_closed = True
    await asyncio.sleep(0)
    assert transport.writes == []


async def test_a_connection_that_cannot_send_does_not_stop_the_others() -> None:
    class Broken(Recording):
        def write(self, data: Any) -> None:
            raise RuntimeError

    batch = Batch()
    BatchedWriter(Broken(), batch).write(b"a")
    connection, transport = connected(batch)
    connection.write(b"a")
    await asyncio.sleep(0)
    assert transport.writes == [b"a"]
