"""What one turn of the event loop has to say to many connections, said at its end and in one go.

A write to a process that sleeps has to wake it, which takes longer than the write; the next one finds it awake. So
the writes of a turn are collected: with many clients at once there is one waking for several requests.
"""

import asyncio
import logging
from typing import Protocol

_log = logging.getLogger(__name__)


class Sender(Protocol):
    """A connection that has something to send."""

    def send(self) -> None: ...


class Batch:
    """The connections that send at the end of this turn, in the order in which they were added."""

    __slots__ = ("_loop", "_senders")

    def __init__(self) -> None:
        """For the running loop."""
        self._loop = asyncio.get_running_loop()
        self._senders: list[Sender] = []

    def add(self, sender: Sender) -> None:
        """Let `sender` send soon."""
        if not self._senders:
            self._loop.call_soon(self._send)
        self._senders.append(sender)

    def _send(self) -> None:
        senders, self._senders = self._senders, []
        for sender in senders:
            try:
                sender.send()
            except Exception:  # noqa: BLE001 - whatever is wrong with one connection must not cost the others theirs
                _log.exception("not sent")
