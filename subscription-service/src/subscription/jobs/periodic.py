"""What is done again and again. Every job is safe to run in any number of replicas at once."""

import asyncio
import random
from collections.abc import Awaitable, Callable

from subscription.services.creation import Creator
from subscription.services.moves import SubscriberMoveService
from subscription.services.packages import PackageService
from subscription.services.subscriptions import SubscriptionService

_BATCH = 500
_MOVES_INTERVAL_SECONDS = 5.0
_INDEX_BATCH = 200
_INDEX_INTERVAL_SECONDS = 5.0


async def _repeat(batch: Callable[[], Awaitable[int]], full: int, interval_seconds: float) -> None:
    """Run `batch` without pause while it finds `full` batches, else at the (jittered) interval."""
    while True:
        if await batch() < full:
            await asyncio.sleep(random.uniform(0.5, 1.0) * interval_seconds)  # noqa: S311 - jitter, no secret


async def expire_subscriptions(subscriptions: SubscriptionService, interval_seconds: float) -> None:
    """Mark expired subscriptions for ever."""
    await _repeat(lambda: subscriptions.mark_expired(_BATCH), _BATCH, interval_seconds)


async def finish_moves(moves: SubscriberMoveService) -> None:
    """Finish moves of subscribers that were left unfinished, for ever."""
    await _repeat(moves.resume_stalled, 1, _MOVES_INTERVAL_SECONDS)


async def index_packages(packages: PackageService) -> None:
    """Bring into the search what processes without it have written, as in an upgrade, for ever."""
    await _repeat(lambda: packages.index_packages(_INDEX_BATCH), _INDEX_BATCH, _INDEX_INTERVAL_SECONDS)


async def sweep_answers(creator: Creator, interval_seconds: float) -> None:
    """Forget answers to Idempotency-Keys after a day, for ever."""
    await _repeat(lambda: creator.sweep(_BATCH), _BATCH, interval_seconds)
