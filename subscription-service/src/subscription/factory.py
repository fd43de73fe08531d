"""Builds everything that a process of this service holds on to."""

import hashlib
import hmac
from dataclasses import dataclass

from chassis.http import Peer
from chassis.idempotency import IdempotencyKeys
from chassis.sql import Database, database_now
from subscription.clients.catalog import CatalogClient
from subscription.clients.identity import IdentityClient
from subscription.config import Settings
from subscription.services.creation import Creator
from subscription.services.entitlements import EntitlementAnnouncer, EntitlementService
from subscription.services.genres import GenreService
from subscription.services.moves import SubscriberMoveService
from subscription.services.packages import PackageService
from subscription.services.subscriptions import SubscriptionService
from subscription.services.users import UserService
from subscription.storage.clock import DatabaseClock
from subscription.storage.tables import idempotency_keys, outbox


@dataclass(frozen=True, slots=True)
class Resources:
    """The services of this process, and what has to be closed at its end."""

    database: Database
    creator: Creator
    packages: PackageService
    subscriptions: SubscriptionService
    entitlements: EntitlementService
    moves: SubscriberMoveService
    genres: GenreService
    users: UserService
    idempotency_secret: bytes
    peers: tuple[Peer, ...]

    async def aclose(self) -> None:
        for peer in self.peers:
            await peer.aclose()
        await self.database.aclose()


def build_resources(settings: Settings, *, clock: DatabaseClock = database_now) -> Resources:
    """Connects to nothing yet, so a process starts while its servers are away."""
    database = Database(settings.database_url.get_secret_value(), pool_size=settings.database_pool_size)
    catalog = Peer("catalog", settings.catalog_urls)
    identity = Peer("identity", settings.identity_urls)
    secret = settings.internal_token.get_secret_value()
    creator = Creator(database, IdempotencyKeys(idempotency_keys))
    announcer = EntitlementAnnouncer(outbox)
    moves = SubscriberMoveService(database, clock, announcer)
    return Resources(
        database=database,
        creator=creator,
        packages=PackageService(
            database, clock, creator, CatalogClient(catalog), moves, move_budget_seconds=settings.move_budget_seconds
        ),
        subscriptions=SubscriptionService(database, clock, creator, IdentityClient(identity, secret), announcer),
        entitlements=EntitlementService(database, clock),
        moves=moves,
        genres=GenreService(database),
        users=UserService(database, clock, announcer),
        # A key of its own for each purpose, derived from the one secret that all replicas share.
        idempotency_secret=hmac.digest(secret.encode(), b"idempotency", hashlib.sha256),
        peers=(catalog, identity),
    )
