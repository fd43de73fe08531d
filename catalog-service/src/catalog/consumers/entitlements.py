"""Events about entitlements."""

from catalog.clients.subscriptions import EntitlementsModel
from catalog.storage.entitlements import EntitlementRepository
from chassis.clock import Clock
from chassis.events.envelope import Event
from chassis.mongo import translate_outage

QUEUE = "catalog.entitlements.v1"


class EntitlementsConsumer:
    """Keeps the projection up to date; raises for an event that cannot be read, which then gets parked."""

    def __init__(self, repository: EntitlementRepository, clock: Clock) -> None:
        self._repository = repository
        self._clock = clock

    async def changed(self, event: Event) -> None:
        """Apply the state in `event` when it is newer than what is stored."""
        # It was true when it was written down; how long it has been under way says nothing about now.
        as_of = min(event.time, self._clock())
        statement = EntitlementsModel.model_validate(event.data).to_statement(as_of)
        async with translate_outage():
            await self._repository.apply(statement)
