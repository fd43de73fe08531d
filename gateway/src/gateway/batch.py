"""What one turn of the event loop has to say to many connections, said at its end and in one go.

A write to a process that sleeps has to wake it, which takes longer than the write; the next one finds it awake. So
the writes of a turn are collected: with many clients at once there is one waking for several requests.
"""

import asyncio
import logging

_log = logging.getLogger(__name__)

# uvloop may read 8 MB from one connection in a turn unless writing what has come asks for a pause.
_MAX_UNSENT_BYTES = 16384


class Batch:
    """The writers that send at the end of this turn, in the order in which they were added."""

    __slots__ = ("_loop", "_writers")

    def __init__(self) -> None:
        """For the running loop."""
        self._loop = asyncio.get_running_loop()
        self._writers: list[BatchedWriter] = []

    def add(self, writer: "BatchedWriter") -> None:
        """Let `writer` send soon."""
        if not self._writers:
            self._loop.call_soon(self._send)
        self._writers.append(writer)

    def _send(self) -> None:
        writers, self._writers = self._writers, []
        for writer in writers:
            try:
                writer.send()
            except Exception:  # noqa: BLE001 - whatever is wrong with one connection must not cost the others theirs
                _log.exception("not sent")


class BatchedWriter:
    """Writes to one connection: at the end of the turn, or at once where much has come together."""

    __slots__ = ("_batch", "_bytes", "_parts", "_transport")

    def __init__(self, transport: asyncio.WriteTransport, batch: Batch) -> None:
        self._transport = transport
        self._batch = batch
        self._parts: list[bytes] = []
        self._bytes = 0

    def write(self, data: bytes) -> None:
        """Write `data` after what has been written before."""
        if not self._parts:
            self._batch.add(self)
        self._parts.append(data)
        self._bytes += len(data)
        if self._bytes > _MAX_UNSENT_BYTES:
            self.send()

    def send(self) -> None:
        """Hand over what has been written so far, before the connection is closed or written to directly."""
        if not self._parts:
            return
        parts, self._parts, self._bytes = self._parts, [], 0
        if not self._transport.is_closing():
            self._transport.write(b"".join(parts))
