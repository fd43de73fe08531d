"""Entitlements on the wire."""

from pydantic import Field

from chassis.fields import Id, ResponseModel, Timestamp
from subscription.api.schemas.packages import GenreRead, genre_reads
from subscription.api.schemas.subscriptions import PackageLink
from subscription.domain.entitlements import Grant
from subscription.services.entitlements import NamedEntitlements


class GrantRead(ResponseModel):
    """What one subscription gives."""

    subscription_id: Id
    package: PackageLink
    package_version: int = Field(ge=1, examples=[1])
    genre_ids: list[int] = Field(examples=[[28, 35]])
    valid_until: Timestamp | None

    @classmethod
    def of(cls, grant: Grant) -> "GrantRead":
        return cls(
            subscription_id=grant.subscription_id,
            package=PackageLink.to(grant.package_id, grant.package_name),
            package_version=grant.package_version,
            genre_ids=list(grant.genre_ids),
            valid_until=grant.valid_until,
        )


class EntitlementsRead(ResponseModel):
    """What the caller may see: the union over active subscriptions."""

    user_id: Id
    genres: list[GenreRead]
    revision: int = Field(ge=0, examples=[3], description="Grows with every change.")
    valid_until: Timestamp | None = Field(
        description="The earliest moment at which the union shrinks by expiry; null for never."
    )
    grants: list[GrantRead]

    @classmethod
    def of(cls, named: NamedEntitlements) -> "EntitlementsRead":
        entitlements = named.entitlements
        return cls(
            user_id=entitlements.user_id,
            genres=genre_reads(named.genres),
            revision=entitlements.revision,
            valid_until=entitlements.valid_until,
            grants=[GrantRead.of(grant) for grant in entitlements.grants],
        )
