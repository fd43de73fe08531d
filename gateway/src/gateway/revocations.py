"""Sessions and users whose access tokens must no longer pass, although they have not expired.

identity-service says so by events; a replica that starts, or was cut off from the broker, reads the present
state over HTTP. Merging is set-union and maximum, so repeated and reordered events do no harm.
"""

import asyncio
import logging
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from chassis.events.broadcast import BroadcastListener
from chassis.events.envelope import Event
from chassis.events.topology import load_topology
from chassis.tokens import LEEWAY_SECONDS, MAX_LIFETIME_SECONDS, AccessTokenVerifier, Principal
from gateway.fetch import fetch_object, first_object

_log = logging.getLogger(__name__)

# A token that was issued just before can be presented for this long.
_KEEP_SECONDS = MAX_LIFETIME_SECONDS + 2 * LEEWAY_SECONDS

# Some 300,000 sessions that have ended within the lifetime of a token.
_MAX_SNAPSHOT_BYTES = 32 * 1024 * 1024

SESSION_REVOKED = "identity.session.revoked.v1"
USER_CHANGED = "identity.user.changed.v1"
USER_DELETED = "identity.user.deleted.v1"
EVENT_TYPES = (SESSION_REVOKED, USER_CHANGED, USER_DELETED)


class Revocations:
    """The deny-list of this replica."""

    def __init__(self, now: Callable[[], float] = time.time) -> None:
        self._now = now
        self._sessions: dict[uuid.UUID, float] = {}
        self._versions: dict[uuid.UUID, tuple[int, float]] = {}
        self._blocked: dict[uuid.UUID, float] = {}
        self._revisions: dict[uuid.UUID, tuple[int, float]] = {}
        self._refused_more = False
        self.is_informed = False

    def refuses(self, principal: Principal) -> bool:
        """Whether a verified token belongs to an ended session, an older generation or a blocked user."""
        if principal.session_id in self._sessions or principal.user_id in self._blocked:
            return True
        version = self._versions.get(principal.user_id)
        return version is not None and principal.version < version[0]

    @property
    def sizes(self) -> Mapping[str, int]:
        """How many entries there are of each kind."""
        return {"session": len(self._sessions), "version": len(self._versions), "user": len(self._blocked)}

    def end_session(self, session_id: uuid.UUID, until: float) -> None:
        """Refuse a session until its last token has expired (seconds since the epoch)."""
        self._refused_more |= session_id not in self._sessions
        self._sessions[session_id] = max(until + LEEWAY_SECONDS, self._sessions.get(session_id, 0.0))

    def require_version(self, user_id: uuid.UUID, minimum: int) -> None:
        """Refuse a user's tokens of generations below `minimum`."""
        present = self._versions.get(user_id, (0, 0.0))[0]
        self._refused_more |= minimum > present
        self._versions[user_id] = (max(present, minimum), self._now() + _KEEP_SECONDS)

    def block(self, user_id: uuid.UUID) -> None:
        """Refuse everything of a user who was disabled or deleted."""
        self._refused_more |= user_id not in self._blocked
        self._blocked[user_id] = self._now() + _KEEP_SECONDS

    def apply_event(self, event: Event) -> None:
        """Take in one event. Raises `ValueError`, `KeyError` or `TypeError` when it cannot be read."""
        data = event.data
        if event.type == SESSION_REVOKED:
            self.end_session(uuid.UUID(data["sid"]), _seconds(data["until"]))
            return
        user_id = uuid.UUID(data["userId"])
        if event.type == USER_DELETED:
            self.block(user_id)
            # Whatever else is still under way about this user is older.
            self._revisions[user_id] = (2**63, self._now() + _KEEP_SECONDS)
            return
        self.require_version(user_id, int(data["minVersion"]))
        if event.revision <= self._revisions.get(user_id, (-1, 0.0))[0]:
            return
        self._revisions[user_id] = (event.revision, self._now() + _KEEP_SECONDS)
        if data["status"] == "active":
            self._blocked.pop(user_id, None)
        else:
            self.block(user_id)

    def apply_snapshot(self, document: Mapping[str, Any]) -> None:
        """Take in the state that identity-service tells. Raises as `apply_event` does."""
        for session in document["sessions"]:
            self.end_session(uuid.UUID(session["sid"]), _seconds(session["until"]))
        for user in document["users"]:
            user_id = uuid.UUID(user["userId"])
            if user["minVersion"] is not None:
                self.require_version(user_id, int(user["minVersion"]))
            if user["blocked"]:
                self.block(user_id)
        self.is_informed = True

    def take_refused_more(self) -> bool:
        """Whether more is refused than when this was last asked."""
        more, self._refused_more = self._refused_more, False
        return more

    def sweep(self) -> None:
        """Forget what no unexpired token can belong to."""
        now = self._now()
        self._sessions = {key: until for key, until in self._sessions.items() if until > now}
        self._versions = {key: entry for key, entry in self._versions.items() if entry[1] > now}
        self._blocked = {key: until for key, until in self._blocked.items() if until > now}
        self._revisions = {key: entry for key, entry in self._revisions.items() if entry[1] > now}


def _seconds(value: object) -> float:
    """A time in an event: RFC 3339."""
    if not isinstance(value, str):
        raise TypeError("not a time")
    return datetime.fromisoformat(value).timestamp()


class RevocationFeed:
    """Keeps `Revocations` up to date: events while the broker is there, snapshots when it is not."""

    # A replica that hears no events asks this often: with a look's pause and the time of an answer it keeps the promise
    # of two seconds without a broker.
    POLL_SECONDS = 1.0
    LOOK_SECONDS = 0.25
    # A missed event (a fault, not a design) is made good for after this long at the latest.
    REFRESH_SECONDS = 60.0

    def __init__(
        self,
        revocations: Revocations,
        verifier: AccessTokenVerifier,
        *,
        broker_url: str,
        identity_urls: Sequence[str],
        internal_token: str,
    ) -> None:
        self._revocations = revocations
        self._verifier = verifier
        self._identity_urls = list(identity_urls)
        self._authorization = f"Bearer {internal_token}"
        self._buffer: list[Event] | None = None
        self._snapshot_at = float("-inf")
        self._snapshot_lock = asyncio.Lock()
        self._listener = BroadcastListener(
            broker_url, "gateway-revocations", load_topology(), EVENT_TYPES, self._on_bound, self._on_event
        )

    @property
    def is_listening(self) -> bool:
        return self._listener.is_listening

    @property
    def age(self) -> float:
        """Seconds for which a revocation could have been missed: 0 while events come in."""
        return 0.0 if self.is_listening else time.monotonic() - self._snapshot_at

    async def listen(self) -> None:
        """Hear events until the connection is lost; to be run again then."""
        await self._listener.run()

    async def poll(self) -> None:
        """Read snapshots for ever: often while no events come in, now and then otherwise.

        Verified tokens that are refused by now are forgotten: at each look and not at each revocation, of which
        there may be thousands (4 ms for a memory of 10,000 tokens). The deny-list refuses them meanwhile.
        """
        while True:
            age = time.monotonic() - self._snapshot_at
            if age >= (self.REFRESH_SECONDS if self.is_listening else self.POLL_SECONDS):
                try:
                    await self._read_snapshot()
                except Exception as error:  # noqa: BLE001 - try again: the present state stays in force
                    _log.warning("revocations not read", extra={"reason": f"{type(error).__name__}: {error}"})
            if self._revocations.take_refused_more():
                self._verifier.forget(self._revocations.refuses)
            self._revocations.sweep()
            await asyncio.sleep(self.LOOK_SECONDS)

    async def _on_bound(self) -> None:
        # The queue collects already, so nothing falls between the snapshot and the first event.
        await self._read_snapshot()

    def _on_event(self, event: Event) -> None:
        if self._buffer is not None:
            self._buffer.append(event)
        else:
            self._apply(event)

    def _apply(self, event: Event) -> None:
        try:
            self._revocations.apply_event(event)
        except (KeyError, TypeError, ValueError) as error:
            _log.error("unusable revocation", extra={"event": str(event.id), "type": event.type, "reason": repr(error)})
            # What it would have said is in a snapshot taken from now on.
            self._snapshot_at = float("-inf")

    async def _read_snapshot(self) -> None:
        """Events that come in meanwhile are newer and applied after it.

        Raises `FetchError` and what `apply_snapshot` raises.
        """
        async with self._snapshot_lock:
            self._buffer = []
            try:
                asked = time.monotonic()
                self._revocations.apply_snapshot(await first_object(self._identity_urls, self._fetch))
                self._snapshot_at = asked
            finally:
                events, self._buffer = self._buffer, None
                for event in events:
                    self._apply(event)

    async def _fetch(self, url: str) -> dict[str, Any]:
        return await fetch_object(
            f"{url}/internal/v1/revocations",
            seconds=5.0,
            max_bytes=_MAX_SNAPSHOT_BYTES,
            headers={"Authorization": self._authorization},
        )
