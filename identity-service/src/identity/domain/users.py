"""People who have an account."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from chassis.conditional import strong_etag


class Role(StrEnum):
    USER = "user"
    ADMIN = "admin"


class Status(StrEnum):
    ACTIVE = "active"
    DISABLED = "disabled"


class UserSort(StrEnum):
    """The orders of the list of users."""

    CREATED_AT = "createdAt"
    CREATED_AT_DESCENDING = "-createdAt"
    EMAIL = "email"
    EMAIL_DESCENDING = "-email"
    NAME = "name"
    NAME_DESCENDING = "-name"


@dataclass(frozen=True, slots=True)
class User:
    """An account.

    `token_version` is the generation that access tokens carry as `ver`: raising it ends all tokens issued
    before. `revision` grows with every change that other services are told of.
    """

    id: uuid.UUID
    email: str
    name: str
    role: Role
    status: Status
    password_hash: str = field(repr=False)
    token_version: int
    revision: int
    created_at: datetime
    updated_at: datetime

    @property
    def is_admin(self) -> bool:
        return self.role is Role.ADMIN

    @property
    def is_active(self) -> bool:
        return self.status is Status.ACTIVE

    @property
    def roles(self) -> list[str]:
        """The roles that tokens and events carry: an administrator is a user as well."""
        return [Role.USER, Role.ADMIN] if self.is_admin else [Role.USER]

    @property
    def etag(self) -> str:
        """The strong entity tag of all that the API shows of the account."""
        shown = (self.id, self.email, self.name, self.role, self.status, self.created_at, self.updated_at)
        return strong_etag(*shown)


@dataclass(frozen=True, slots=True)
class UserFilter:
    """What a list of users is narrowed to; None does not narrow. `search` matches name or e-mail anywhere."""

    ids: Sequence[uuid.UUID] | None = None
    email: str | None = None
    search: str | None = None
    role: Role | None = None
    status: Status | None = None


@dataclass(frozen=True, slots=True)
class UserChange:
    """An edit of an account; None leaves the value as it is. `if_match` names the states that it may be made to."""

    name: str | None = None
    email: str | None = None
    role: Role | None = None
    status: Status | None = None
    current_password: str | None = field(default=None, repr=False)
    if_match: str | None = None

    @property
    def needs_admin(self) -> bool:
        return self.role is not None or self.status is not None


@dataclass(frozen=True, slots=True)
class Registration:
    """Somebody who wants an account; `email` is in its canonical form."""

    email: str
    password: str = field(repr=False)
    name: str
