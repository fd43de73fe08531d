"""What the audit log records: security-relevant acts and whether they succeeded, never a secret."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Action(StrEnum):
    REGISTER = "register"
    LOGIN = "login"
    REFRESH = "refresh"
    REFRESH_REPLAY = "refresh-replay"
    LOGOUT = "logout"
    SESSION_END = "session-end"
    SESSIONS_END = "sessions-end"
    PASSWORD_CHANGE = "password-change"  # noqa: S105 - the name of an act
    PASSWORD_FORGOT = "password-forgot"  # noqa: S105 - the name of an act
    PASSWORD_RESET = "password-reset"  # noqa: S105 - the name of an act
    USER_READ = "user-read"
    USER_LIST = "user-list"
    USER_UPDATE = "user-update"
    EMAIL_CHANGE = "email-change"
    ROLE_CHANGE = "role-change"
    STATUS_CHANGE = "status-change"
    USER_DELETE = "user-delete"
    USER_EXPORT = "user-export"
    ADMIN_CREATE = "admin-create"
    KEY_ROTATE = "key-rotate"


class Result(StrEnum):
    SUCCESS = "success"
    FAILURE = "failure"
    THROTTLED = "throttled"


@dataclass(frozen=True, slots=True)
class AuditEvent:
    """One act: who (`actor_id`) did what to whom (`subject_id`), from where, with which result."""

    action: Action
    result: Result
    actor_id: uuid.UUID | None = None
    subject_id: uuid.UUID | None = None
    ip: str | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """A stored act."""

    at: datetime
    action: str
    result: str
    ip: str | None
    detail: str | None
