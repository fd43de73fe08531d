"""The sweep that heals the projection of entitlements whatever became of the events."""

import asyncio
import logging

from catalog.services.healing import EntitlementHealing
from catalog.storage.leases import Held
from chassis.events.metrics import ProjectionMetrics
from chassis.http import PeerUnavailableError

_log = logging.getLogger(__name__)

PERIOD_SECONDS = 60.0
_PROJECTION = "entitlements"


class HealingSweep:
    def __init__(
        self, healing: EntitlementHealing, metrics: ProjectionMetrics, period_seconds: float = PERIOD_SECONDS
    ) -> None:
        self._healing = healing
        self._metrics = metrics
        self._period_seconds = period_seconds

    async def lead(self, _: Held) -> None:
        """Sweep until cancelled."""
        while True:
            try:
                repaired = await self._healing.sweep()
                self._metrics.repaired.labels(_PROJECTION).inc(repaired)
                self._metrics.compared.labels(_PROJECTION).set_to_current_time()
            except PeerUnavailableError as error:
                _log.warning("entitlements not compared", extra={"reason": error.detail})
            await asyncio.sleep(self._period_seconds)
