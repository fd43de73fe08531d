"""Subscriptions on the wire."""

import uuid
from typing import Annotated

from pydantic import Field

from chassis.fields import Id, RequestModel, ResponseModel, Timestamp
from subscription.api.schemas.packages import GenreRead, genre_reads
from subscription.domain.subscriptions import Subscription, SubscriptionStatus

Expiry = Annotated[
    Timestamp | None,
    Field(description="When access ends by itself, in the future; null for never.", examples=["2099-12-31T23:59:59Z"]),
]


class SubscriptionCreate(RequestModel):
    """The caller's wish to subscribe."""

    package_id: Id
    expires_at: Expiry = None


class BulkSubscriptionCreate(RequestModel):
    """Users to subscribe to one package, all or none."""

    user_ids: Annotated[list[Id], Field(min_length=1, max_length=1000, description="No repeats.")]
    expires_at: Expiry = None


class BulkSubscriptionRead(ResponseModel):
    """What became of the users; the counts add up to the number asked for."""

    created: int = Field(ge=0, examples=[2])
    already_subscribed: int = Field(ge=0, examples=[1])


class PackageLink(ResponseModel):
    """A package as the version in question names it."""

    id: Id
    name: str = Field(examples=["Family"])

    @classmethod
    def to(cls, package_id: uuid.UUID, name: str) -> "PackageLink":
        return cls(id=package_id, name=name)


class SubscriptionRead(ResponseModel):
    """A subscription to one version of a package."""

    id: Id
    user_id: Id
    package: PackageLink
    package_version: int = Field(ge=1, examples=[1])
    genres: list[GenreRead]
    status: SubscriptionStatus = Field(examples=["active"])
    created_at: Timestamp
    expires_at: Timestamp | None
    cancelled_at: Timestamp | None

    @classmethod
    def of(cls, subscription: Subscription) -> "SubscriptionRead":
        return cls(
            id=subscription.id,
            user_id=subscription.user_id,
            package=PackageLink.to(subscription.package_id, subscription.package_name),
            package_version=subscription.package_version,
            genres=genre_reads(subscription.genres),
            status=subscription.status,
            created_at=subscription.created_at,
            expires_at=subscription.expires_at,
            cancelled_at=subscription.cancelled_at,
        )
