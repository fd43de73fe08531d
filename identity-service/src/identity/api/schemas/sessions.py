"""Sessions and tokens as the API shows and takes them."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from chassis.fields import Id, RequestModel, ResponseModel, Timestamp
from identity.api.schemas.fields import Email, NewPassword, Password
from identity.domain.sessions import Session

_Token = Annotated[str, StringConstraints(strict=True, max_length=512)]


class Login(RequestModel):
    email: Email
    password: Password


class Refresh(RequestModel):
    refresh_token: Annotated[_Token, Field(examples=["rt_3q2-7wAAAAA"])]


class TokenPairRead(ResponseModel):
    access_token: str = Field(examples=["eyJhbGciOiJFUzI1NiIsInR5cCI6ImF0K2p3dCJ9.e30.c2ln"])
    refresh_token: str = Field(examples=["rt_3q2-7wAAAAA"])
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - RFC 6750's name of the scheme
    expires_in: int = Field(description="Lifetime of the access token in seconds.", examples=[600])


class SessionRead(ResponseModel):
    id: Id
    created_at: Timestamp
    last_used_at: Timestamp
    user_agent: str | None = Field(examples=["curl/8.5.0"])
    ip: str = Field(examples=["192.0.2.7"])
    current: bool = Field(description="Whether this is the session of the request's own token.")

    @classmethod
    def of(cls, session: Session, *, current: bool) -> "SessionRead":
        return cls(
            id=session.id,
            created_at=session.created_at,
            last_used_at=session.last_used_at,
            user_agent=session.user_agent,
            ip=session.ip,
            current=current,
        )


class SessionData(ResponseModel):
    """A session as it is stored, ended ones included."""

    id: Id
    created_at: Timestamp
    last_used_at: Timestamp
    expires_at: Timestamp
    revoked_at: Timestamp | None
    user_agent: str | None
    ip: str


class PasswordForgot(RequestModel):
    email: Email


class PasswordForgotAccepted(ResponseModel):
    message: str = Field(examples=["If there is an account for this address, a mail is on its way."])


class PasswordReset(RequestModel):
    token: Annotated[_Token, Field(description="The token from the mail.", examples=["Vh0d7Jm5"])]
    new_password: NewPassword


class PasswordChange(RequestModel):
    current_password: Password
    new_password: NewPassword
