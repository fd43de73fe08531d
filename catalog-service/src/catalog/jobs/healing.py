"""The sweep that heals the projection of entitlements whatever became of the events."""

import asyncio
import logging

from catalog.services.healing import EntitlementHealing
from catalog.storage.leases import Held
from chassis.http import PeerUnavailableError

_log = logging.getLogger(__name__)

PERIOD_SECONDS = 60.0


class HealingSweep:
    def __init__(self, healing: EntitlementHealing, period_seconds: float = PERIOD_SECONDS) -> None:
        self._healing = healing
        self._period_seconds = period_seconds

    async def lead(self, _: Held) -> None:
        """Sweep until cancelled."""
        while True:
            try:
                await self._healing.sweep()
            except PeerUnavailableError as error:
                _log.warning("entitlements not compared", extra={"reason": error.detail})
            await asyncio.sleep(self._period_seconds)
