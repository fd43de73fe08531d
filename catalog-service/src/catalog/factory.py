"""What a process is made of: connections once per process, and the objects that use them."""

import os
import secrets
import socket
from dataclasses import dataclass
from datetime import timedelta

from catalog.clients.subscriptions import SubscriptionsClient
from catalog.clients.tmdb.client import Patience, TmdbClient
from catalog.config import Settings
from catalog.services.catalog_view import CatalogView
from catalog.services.entitlements import EntitlementService
from catalog.services.genre_sync import GenreSync
from catalog.services.genres import GenreService
from catalog.services.healing import EntitlementHealing
from catalog.services.movie_lookup import MovieLookup
from catalog.services.movie_refresh import MovieRefresh
from catalog.services.movie_sync import MovieSync
from catalog.services.movie_walk import MovieWalk
from catalog.services.movies import MovieService
from catalog.services.page_cache import PageCache
from catalog.services.sync import SyncService
from catalog.storage.entitlements import EntitlementRepository
from catalog.storage.genres import GenreRepository
from catalog.storage.leases import LeaseRepository
from catalog.storage.movies import MovieRepository, MovieWriter
from catalog.storage.rate_budget import RateBudget
from catalog.storage.revisions import RevisionRepository
from catalog.storage.schema import require_schema
from catalog.storage.sync_states import SyncStateRepository
from chassis.clock import Clock, utc_now
from chassis.http import Peer
from chassis.mongo import Mongo


def worker_name() -> str:
    """Who holds a lease, for operators: host and process, and a random part because process ids come back."""
    return f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"


class Resources:
    """Connections and repositories; to be made inside the running event loop."""

    def __init__(self, settings: Settings, patience: Patience, clock: Clock = utc_now) -> None:
        self.settings = settings
        self.clock = clock
        self.mongo = Mongo(settings.database_url.get_secret_value())
        database = self.mongo.database
        self.budget = RateBudget(database, settings.tmdb_requests_per_second)
        self.tmdb = TmdbClient(settings.tmdb_base_url, settings.tmdb_token.get_secret_value(), self.budget, patience)
        # A caller waits for this: a second is long for an answer out of a database next door.
        peer = Peer("subscription-service", settings.subscription_urls, timeout_seconds=1.0, deadline_seconds=2.0)
        self.subscriptions = SubscriptionsClient(peer, settings.internal_token.get_secret_value(), clock)
        self.genres = GenreRepository(database)
        self.movies = MovieRepository(database)
        self.movie_writer = MovieWriter(database)
        self.entitlements = EntitlementRepository(database)
        self.states = SyncStateRepository(database)
        self.revisions = RevisionRepository(database)
        self.leases = LeaseRepository(database)

    async def aclose(self) -> None:
        await self.tmdb.aclose()
        await self.subscriptions.aclose()
        await self.mongo.aclose()

    async def require_schema(self) -> None:
        """The readiness check: the database answers and is migrated."""
        await require_schema(self.mongo.database)


@dataclass(frozen=True, slots=True)
class Services:
    """What the API's handlers use."""

    genres: GenreService
    movies: MovieService
    entitlements: EntitlementService
    sync: SyncService
    view: CatalogView
    pages: PageCache


def create_services(resources: Resources) -> Services:
    """The services of one API process."""
    view = CatalogView(resources.revisions, resources.genres)
    entitlements = EntitlementService(resources.entitlements, resources.subscriptions, resources.clock)
    lookup = MovieLookup(resources.movies, resources.revisions, resources.tmdb, resources.clock)
    return Services(
        genres=GenreService(view),
        movies=MovieService(resources.movies, lookup, entitlements, view, resources.settings.genre_match),
        entitlements=entitlements,
        sync=SyncService(resources.states, resources.movies, resources.clock),
        view=view,
        pages=PageCache(resources.settings.page_cache_bytes),
    )


def create_genre_sync(resources: Resources) -> GenreSync:
    return GenreSync(
        resources.tmdb,
        resources.genres,
        resources.states,
        resources.revisions,
        timedelta(seconds=resources.settings.genres_interval_seconds),
        resources.clock,
    )


def create_movie_sync(resources: Resources) -> MovieSync:
    settings = resources.settings
    walk = MovieWalk(
        resources.tmdb,
        resources.genres,
        resources.movie_writer,
        resources.states,
        resources.revisions,
        settings.movies_per_genre,
        resources.clock,
    )
    refresh = MovieRefresh(
        resources.tmdb, resources.movie_writer, resources.states, resources.revisions, resources.clock
    )
    return MovieSync(
        walk,
        refresh,
        resources.genres,
        resources.states,
        timedelta(seconds=settings.movies_interval_seconds),
        timedelta(seconds=settings.walk_interval_seconds),
        resources.clock,
    )


def create_healing(resources: Resources) -> EntitlementHealing:
    return EntitlementHealing(resources.entitlements, resources.subscriptions)
