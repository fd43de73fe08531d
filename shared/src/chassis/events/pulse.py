"""Whether messages still arrive, judged by heartbeats that take the way of all events."""

import time

# How often a relay sends a heartbeat through its outbox.
HEARTBEAT_SECONDS = 10.0


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
