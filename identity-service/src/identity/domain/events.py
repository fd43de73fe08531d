"""The events of this service: types, payloads, and how they are made from an account or a session."""

from datetime import datetime
from uuid import UUID

from chassis.clock import to_rfc3339
from chassis.events.envelope import Event
from identity.domain.sessions import Session
from identity.domain.users import User

SESSION_REVOKED = "identity.session.revoked.v1"
USER_CHANGED = "identity.user.changed.v1"
USER_DELETED = "identity.user.deleted.v1"
_SOURCE = "/identity"


def session_revoked(session: Session, until: datetime) -> Event:
    """The session has ended; `until` is when its last access token stops being valid by itself."""
    data = {"sid": str(session.id), "userId": str(session.user_id), "until": to_rfc3339(until), "revision": 1}
    return Event(SESSION_REVOKED, _SOURCE, f"session/{session.id}", data)


def user_changed(user: User) -> Event:
    """Status, roles or token generation of the user have changed."""
    data = {
        "userId": str(user.id),
        "revision": user.revision,
        "status": str(user.status),
        "roles": [str(role) for role in user.roles],
        "minVersion": user.token_version,
    }
    return Event(USER_CHANGED, _SOURCE, f"user/{user.id}", data)


def user_deleted(user_id: UUID, revision: int) -> Event:
    """The person is to be erased everywhere."""
    data = {"userId": str(user_id), "revision": revision}
    return Event(USER_DELETED, _SOURCE, f"user/{user_id}", data)
