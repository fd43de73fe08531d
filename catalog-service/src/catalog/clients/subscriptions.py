"""subscription-service: who may see which genres."""

import uuid
from datetime import datetime
from typing import Annotated, Any, TypeVar

import httpx
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel

from catalog.domain.entitlements import Grant, Statement
from chassis.clock import Clock
from chassis.fields import Id, Timestamp
from chassis.http import Peer, PeerUnavailableError

_Model = TypeVar("_Model", bound=BaseModel)
_GenreId = Annotated[int, Field(ge=1)]


class _Tolerant(BaseModel):
    # Members that this version does not know are ignored: the producer may be newer.
    model_config = ConfigDict(alias_generator=to_camel, extra="ignore")


class GrantModel(_Tolerant):
    """A grant as events and answers carry it."""

    genre_ids: list[_GenreId]
    valid_until: Timestamp | None

    def to_domain(self) -> Grant:
        return Grant(frozenset(self.genre_ids), self.valid_until)


class EntitlementsModel(_Tolerant):
    """A user's full entitlements as events and answers carry them."""

    user_id: Id
    revision: Annotated[int, Field(ge=0, strict=True)]
    grants: list[GrantModel]

    def to_statement(self, as_of: datetime, etag: str | None = None) -> Statement:
        return Statement(self.user_id, self.revision, tuple(g.to_domain() for g in self.grants), as_of, etag)


class _BucketModel(_Tolerant):
    bucket: Annotated[int, Field(ge=0, le=255)]
    count: int
    sum_revision: int


class _DigestModel(_Tolerant):
    buckets: list[_BucketModel]


class _EntitlementsPageModel(_Tolerant):
    entitlements: list[EntitlementsModel]


class UnusableAnswerError(PeerUnavailableError):
    """subscription-service answered, but not with what was asked for."""


class SubscriptionsClient:
    """The questions we ask subscription-service. Every method raises `PeerUnavailableError`."""

    def __init__(self, peer: Peer, internal_token: str, clock: Clock) -> None:
        self._peer = peer
        self._internal_token = internal_token
        self._clock = clock

    async def aclose(self) -> None:
        await self._peer.aclose()

    async def entitlements(self, user_token: str, etag: str | None) -> Statement | None:
        """What the holder of `user_token` may see now, or None when that is still what `etag` names."""
        asked_at = self._clock()
        headers = {"if-none-match": etag} if etag else {}
        answer = await self._peer.get("/v1/entitlements/me", token=user_token, headers=headers)
        if answer.status_code == 304 and etag:
            return None
        return self._read(answer, EntitlementsModel).to_statement(asked_at, answer.headers.get("etag"))

    async def digest(self) -> dict[int, tuple[int, int]]:
        """Count and sum of revisions of every bucket that has users."""
        answer = await self._peer.get("/internal/v1/entitlements/digest", token=self._internal_token)
        return {b.bucket: (b.count, b.sum_revision) for b in self._read(answer, _DigestModel).buckets if b.count}

    async def bucket(self, bucket: int, after: uuid.UUID | None, limit: int) -> list[Statement]:
        """Up to `limit` users of a bucket in the order of their ids, after that of `after`."""
        asked_at = self._clock()
        params: dict[str, Any] = {"bucket": bucket, "limit": limit}
        if after is not None:
            params["after"] = str(after)
        answer = await self._peer.get("/internal/v1/entitlements", token=self._internal_token, params=params)
        page = self._read(answer, _EntitlementsPageModel)
        return [entitlements.to_statement(asked_at) for entitlements in page.entitlements]

    def _read(self, answer: httpx.Response, model: type[_Model]) -> _Model:
        if answer.status_code != 200:
            raise UnusableAnswerError(f"subscription-service answered {answer.status_code}.")
        try:
            return model.model_validate_json(answer.content)
        except ValidationError as error:
            raise UnusableAnswerError("subscription-service gave an answer that cannot be read.") from error
