"""Process-wide resources, and the services built on them."""

from chassis.clock import Clock, utc_now
from chassis.http import Peer
from chassis.mongo import Mongo
from watch.clients.breaker import CircuitBreaker
from watch.clients.catalog import CatalogClient
from watch.config import Settings
from watch.services.history import HistoryService
from watch.services.lifecycle import LifecycleService
from watch.services.reports import ReportService
from watch.storage.directory import Directory
from watch.storage.genres import GenreRepository
from watch.storage.history import HistoryRepository
from watch.storage.reports import ReportRepository
from watch.storage.session_leases import SessionLeases
from watch.storage.transactions import Transactions
from watch.storage.users import UserRepository


class Factory:
    """Made inside the running event loop, closed at its end."""

    def __init__(self, settings: Settings, *, clock: Clock = utc_now) -> None:
        self.mongo = Mongo(settings.database_url.get_secret_value())
        self._peer = Peer(
            "catalog",
            settings.catalog_urls,
            timeout_seconds=settings.catalog_timeout_seconds,
            deadline_seconds=settings.catalog_timeout_seconds,
        )
        self.breaker = CircuitBreaker()
        self._catalog = CatalogClient(self._peer, self.breaker, timeout_seconds=settings.catalog_timeout_seconds)
        self._clock = clock
        # The wall clock, whatever time the rules are tested at: leases are between processes.
        self.session_leases = SessionLeases(self.mongo, utc_now)
        self._transactions = Transactions(self.mongo, self.session_leases)
        self._directory = Directory(self.mongo.database, self._transactions)
        self._genres = GenreRepository(self.mongo.database)
        self._users = UserRepository(self.mongo.database, self._directory)
        self._history = HistoryRepository(self.mongo.database, self._genres)

    async def aclose(self) -> None:
        await self._peer.aclose()
        await self.mongo.aclose()

    def create_history_service(self) -> HistoryService:
        return HistoryService(
            self._catalog,
            self._history,
            self._genres,
            self._users,
            self._directory,
            self._transactions,
            self._clock,
        )

    def create_report_service(self) -> ReportService:
        return ReportService(ReportRepository(self.mongo.database), self._genres, self._users)

    def create_lifecycle_service(self) -> LifecycleService:
        return LifecycleService(self._genres, self._users, self._history, self._transactions, self._clock)
