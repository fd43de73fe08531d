"""What operators do with events of this service: `python -m catalog events …`."""

import argparse
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, TypeVar

from catalog.clients.tmdb.client import Patience
from catalog.config import Settings
from catalog.domain.entitlements import Entitlements, Statement
from catalog.factory import Resources, create_healing
from chassis.events.envelope import decode
from chassis.events.operator import Action, tell_progress
from chassis.mongo import translate_outage

_Result = TypeVar("_Result")

# Our copy of the entitlements, and the copies that others have of our genres.
PROJECTIONS = ("entitlements", "genres")


def event_actions(load_settings: Callable[[], Settings]) -> Mapping[str, Action]:
    """The commands that need this service's database."""

    async def with_resources(work: Callable[[Resources], Awaitable[_Result]]) -> _Result:
        settings = load_settings()
        resources = Resources(settings, Patience(seconds=settings.tmdb_timeout_seconds))
        try:
            async with translate_outage():
                return await work(resources)
        finally:
            await resources.aclose()

    return {
        "outbox": lambda _: with_resources(_outbox),
        "reconcile": lambda options: with_resources(lambda resources: _reconcile(resources, options)),
        "rebuild": lambda options: with_resources(lambda resources: _rebuild(resources, options)),
    }


async def _outbox(resources: Resources) -> dict[str, Any]:
    waiting = await resources.genres.waiting_events()
    times = [decode(event.body).time for event in waiting]
    return {"waiting": len(waiting), "oldest": min(times, default=None)}


async def _reconcile(resources: Resources, options: argparse.Namespace) -> dict[str, Any]:
    held, statement, differed = await create_healing(resources).reconcile(options.user, dry_run=options.dry_run)
    return {
        "userId": str(options.user),
        "held": _shown(held),
        "source": _shown(statement),
        "differed": differed,
        "repaired": differed and not options.dry_run,
    }


def _shown(state: Entitlements | Statement | None) -> dict[str, Any] | None:
    if state is None:
        return None
    grants = [{"genreIds": sorted(grant.genre_ids), "validUntil": grant.valid_until} for grant in state.grants]
    return {"revision": state.revision, "grants": grants}


async def _rebuild(resources: Resources, options: argparse.Namespace) -> dict[str, Any]:
    if options.projection == "genres":
        held = len(await resources.genres.all())
        return {
            "projection": "genres",
            "announced": 0 if options.dry_run else await resources.genres.announce(),
            "held": held,
        }
    differed = 0
    async for bucket, count in create_healing(resources).rebuild(int(options.after or -1), dry_run=options.dry_run):
        differed += count
        tell_progress(options.projection, bucket)
    return {"projection": options.projection, "differed": differed, "repaired": 0 if options.dry_run else differed}
