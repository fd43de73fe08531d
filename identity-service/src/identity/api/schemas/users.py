"""Users as the API shows and takes them."""

from typing import Annotated

from pydantic import BeforeValidator, ConfigDict, Field

from chassis.fields import Id, RequestModel, ResponseModel, Timestamp
from identity.api.schemas.fields import Email, Name, NewPassword, Password, not_null
from identity.api.schemas.sessions import SessionData
from identity.domain.users import Role, Status, UserChange


def _role(value: object) -> object:
    return Role(value) if isinstance(value, str) and value in list(Role) else value


def _status(value: object) -> object:
    return Status(value) if isinstance(value, str) and value in list(Status) else value


class UserCreate(RequestModel):
    email: Email
    password: NewPassword
    name: Name


class UserUpdate(RequestModel):
    """Members that are left out stay as they are."""

    # What everybody may send, in place of all members at once.
    model_config = ConfigDict(json_schema_extra={"examples": [{"name": "Ann"}]})

    name: Annotated[Name | None, not_null(Name)] = None
    email: Annotated[Email | None, not_null(Email)] = None
    current_password: Annotated[
        Password | None, not_null(Password), Field(description="Needed to change one's own e-mail address.")
    ] = None
    role: Annotated[Role | None, BeforeValidator(_role), not_null(Role), Field(description="Administrators only.")] = (
        None
    )
    status: Annotated[
        Status | None, BeforeValidator(_status), not_null(Status), Field(description="Administrators only.")
    ] = None

    def to_change(self, if_match: str | None) -> UserChange:
        return UserChange(self.name, self.email, self.role, self.status, self.current_password, if_match)


class UserRead(ResponseModel):
    id: Id
    email: str = Field(examples=["ann@example.com"])
    name: str = Field(examples=["Ann"])
    role: Role
    status: Status
    created_at: Timestamp
    updated_at: Timestamp


class HistoryEntry(ResponseModel):
    """A recorded act on one's account."""

    at: Timestamp
    action: str = Field(examples=["login"])
    result: str = Field(examples=["success"])
    ip: str | None = Field(examples=["192.0.2.7"])
    detail: str | None


class UserExport(ResponseModel):
    """All that is stored here about a person."""

    user: UserRead
    sessions: list[SessionData]
    history: list[HistoryEntry]
