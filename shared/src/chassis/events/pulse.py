"""Whether messages still arrive, judged by heartbeats that take the way of all events."""

import time

from chassis.events.envelope import Event
from chassis.events.topology import heartbeat_type

# How often a relay sends a heartbeat through its outbox.
HEARTBEAT_SECONDS = 10.0


def heartbeat(service: str, sender: str) -> Event:
    """What a relay of `service` sends; `sender` tells it from others."""
    # A time is as good as a counter: nobody keeps it, and it grows over restarts.
    return Event(heartbeat_type(service), f"/{service}", f"heartbeat/{sender}", {"revision": time.time_ns() // 1000})


class Pulse:
    """What one consumer hears. Silence means something only after a heartbeat was heard: the sender may be away."""

    def __init__(self) -> None:
        self._heard_at = time.monotonic()
        self._knows_heartbeats = False

    def heard(self, *, heartbeat: bool) -> None:
        """A message has arrived."""
        self._heard_at = time.monotonic()
        self._knows_heartbeats |= heartbeat

    def is_lost(self, listeners: int) -> bool:
        """Whether it has been silent for too long, when heartbeats are shared out among `listeners`."""
        return self._knows_heartbeats and time.monotonic() - self._heard_at > HEARTBEAT_SECONDS * (listeners + 2)
