"""Being the one worker that does a job."""

import asyncio
import contextlib
import logging
import random
import time
from collections.abc import Awaitable, Callable

from pymongo.errors import PyMongoError

from catalog.storage.leases import Held, LeaseLostError, LeaseRepository
from chassis.deadlines import stop, within
from chassis.mongo import is_unavailable

_log = logging.getLogger(__name__)

# A holder that dies is succeeded after at most LEASE + STANDBY seconds.
_LEASE_SECONDS = 15.0
_RENEW_SECONDS = 4.0
# Without a renewal for so long the holder stops by itself, well before anybody else may begin.
_STOP_SECONDS = 11.0
_STANDBY_SECONDS = (1.0, 2.0)

Work = Callable[[Held], Awaitable[None]]


class Leader:
    """Does `work` while this worker holds the lease `name`; any number of workers may run one of these."""

    def __init__(self, leases: LeaseRepository, name: str, owner: str, work: Work) -> None:
        self._leases = leases
        self._name = name
        self._owner = owner
        self._work = work

    async def run(self) -> None:
        """Stand by and lead in turns, until cancelled. Raises what the work raises, in a group."""
        while True:
            held = await self._leases.acquire(self._name, self._owner, round(_LEASE_SECONDS * 1000))
            if held is None:
                await asyncio.sleep(random.uniform(*_STANDBY_SECONDS))  # noqa: S311 - jitter, no secret
                continue
            _log.info("lease taken", extra={"lease": self._name, "fence": held.fence})
            try:
                await self._lead(held)
            except* LeaseLostError:
                _log.warning("lease lost", extra={"lease": self._name, "fence": held.fence})
            finally:
                # When this fails the lease runs out by itself.
                with contextlib.suppress(PyMongoError):
                    await asyncio.shield(self._leases.release(held, self._owner))

    async def _lead(self, held: Held) -> None:
        working = asyncio.ensure_future(self._work(held))
        renewing = asyncio.create_task(self._renew(held))
        try:
            done, _ = await asyncio.wait([working, renewing], return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            await stop(working, renewing)

    async def _renew(self, held: Held) -> None:
        """Extend the lease in time. Raises `LeaseLostError`."""
        renewed_at = time.monotonic()
        while True:
            await asyncio.sleep(_RENEW_SECONDS)
            asked_at = time.monotonic()
            try:
                renewal = self._leases.acquire(self._name, self._owner, round(_LEASE_SECONDS * 1000))
                again = await within(_RENEW_SECONDS, renewal)
            except (PyMongoError, TimeoutError) as error:
                if isinstance(error, PyMongoError) and not is_unavailable(error):
                    raise
                _log.warning("lease not renewed", extra={"lease": self._name, "reason": type(error).__name__})
            else:
                if again != held:
                    raise LeaseLostError(self._name)
                renewed_at = asked_at
            if time.monotonic() - renewed_at > _STOP_SECONDS:
                raise LeaseLostError(self._name)
