"""A TCP link that fails on command."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Coroutine
from typing import Any

TO_SERVER, TO_CLIENT = "to-server", "to-client"
BOTH = frozenset({TO_SERVER, TO_CLIENT})
_CHUNK = 64 * 1024


class _Loop:
    """The event loop of all proxies, in a thread of its own: a test that blocks must not freeze the links."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        threading.Thread(target=self.loop.run_forever, name="links", daemon=True).start()

    def call(self, work: Coroutine[Any, Any, Any]) -> Any:
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(timeout=10)


_shared: list[_Loop] = []


def _loop() -> _Loop:
    if not _shared:
        _shared.append(_Loop())
    return _shared[0]


class Proxy:
    """Forwards connections on `port` to `target`; one per link.

    A blackhole holds bytes back without closing anything, as a lost route does: after `heal` they arrive, the way
    TCP would send them again.
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self._runner = _loop()
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port: int = probe.getsockname()[1]
        self._server: asyncio.Server | None = None
        self._links: set[tuple[asyncio.StreamWriter, asyncio.StreamWriter]] = set()
        self._open = {direction: asyncio.Event() for direction in BOTH}
        self._delay = 0.0
        self._cut_after: int | None = None
        self.accepted = 0
        self._runner.call(self._heal())

    # Commands, from any thread.

    def heal(self) -> None:
        """Forward everything again."""
        self._runner.call(self._heal())

    def refuse(self) -> None:
        """Reset what is open and refuse new connections."""
        self._runner.call(self._refuse())

    def reset(self) -> None:
        """Reset what is open (RST); new connections are welcome."""
        self._runner.call(self._reset())

    def blackhole(self, directions: frozenset[str] = BOTH) -> None:
        """Let nothing through in these directions."""
        self._run(lambda: [self._open[direction].clear() for direction in directions])

    def delay(self, seconds: float) -> None:
        """Hold every chunk back for a while."""
        self._run(lambda: setattr(self, "_delay", seconds))

    def cut_after(self, to_server: int) -> None:
        """Reset a connection once this many more bytes have gone to the server: in the middle of something."""
        self._run(lambda: setattr(self, "_cut_after", to_server))

    def close(self) -> None:
        """End the link."""
        self._runner.call(self._refuse())

    def _run(self, change: Callable[[], object]) -> None:
        async def work() -> None:
            change()

        self._runner.call(work())

    # In the loop of the links.

    async def _heal(self) -> None:
        self._delay = 0.0
        self._cut_after = None
        for gate in self._open.values():
            gate.set()
        if self._server is None:
            self._server = await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    async def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        await self._reset()

    async def _reset(self) -> None:
        for pair in list(self._links):
            self._abort(pair)

    def _abort(self, pair: tuple[asyncio.StreamWriter, asyncio.StreamWriter]) -> None:
        for writer in pair:
            raw = writer.get_extra_info("socket")
            with contextlib.suppress(OSError, AttributeError):
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        try:
            upstream_reader, upstream = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            self._abort((writer,) * 2)
            return
        pair = (writer, upstream)
        self._links.add(pair)
        pumps = [
            asyncio.create_task(self._pump(reader, upstream, TO_SERVER, pair)),
            asyncio.create_task(self._pump(upstream_reader, writer, TO_CLIENT, pair)),
        ]
        try:
            await asyncio.wait(pumps, return_when=asyncio.ALL_COMPLETED)
        finally:
            self._links.discard(pair)
            for end in pair:
                end.close()

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        direction: str,
        pair: tuple[asyncio.StreamWriter, asyncio.StreamWriter],
    ) -> None:
        try:
            while data := await reader.read(_CHUNK):
                if self._delay:
                    await asyncio.sleep(self._delay)
                await self._open[direction].wait()
                if direction == TO_SERVER and self._cut_after is not None:
                    data, self._cut_after = data[: self._cut_after], self._cut_after - len(data)
                    if self._cut_after <= 0:
                        writer.write(data)
                        await writer.drain()
                        self._cut_after = None
                        self._abort(pair)
                        return
                writer.write(data)
                await writer.drain()
            await self._open[direction].wait()
            writer.write_eof()
        except (OSError, RuntimeError):
            self._abort(pair)
