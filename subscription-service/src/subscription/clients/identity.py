"""Asking identity-service which users there are."""

import uuid
from collections.abc import Sequence

from pydantic import BaseModel, ConfigDict, ValidationError

from chassis.http import Peer, PeerUnavailableError


class _User(BaseModel):
    model_config = ConfigDict(extra="ignore")

    id: uuid.UUID
    status: str


class _Users(BaseModel):
    users: list[_User]


class IdentityClient:
    """identity-service's internal interface; `secret` authenticates this service."""

    def __init__(self, peer: Peer, secret: str) -> None:
        self._peer = peer
        self._secret = secret

    async def find_active_users(self, ids: Sequence[uuid.UUID]) -> set[uuid.UUID]:
        """Which of `ids` (at most 1000) belong to a user who is not disabled.

        Raises `PeerUnavailableError` when it cannot be asked or its answer cannot be read.
        """
        answer = await self._peer.request(
            "POST",
            "/internal/v1/users/lookup",
            token=self._secret,
            json={"ids": [str(user_id) for user_id in ids]},
            idempotent=True,
        )
        if answer.status_code != 200:
            raise PeerUnavailableError
        try:
            users = _Users.model_validate_json(answer.content).users
        except ValidationError as error:
            raise PeerUnavailableError from error
        return {user.id for user in users if user.status == "active"}
