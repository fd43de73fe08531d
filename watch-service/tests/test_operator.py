"""What operators do with events that this service could not apply."""

from typing import Any

import pytest

from chassis.events.publisher import Publisher
from chassis.events.topology import load_topology
from chassis.testing.commands import run_events_command
from watch.__main__ import main


async def test_parked_messages_are_listed_shown_and_replayed(
    database_url: str, broker_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment = {
        "WATCH_DATABASE_URL": database_url,
        "WATCH_BROKER_URL": broker_url,
        "WATCH_INTERNAL_TOKEN": "an internal token of thirty-two characters",
        "WATCH_JWKS_URLS": "http://127.0.0.1:9/jwks",
        "WATCH_CATALOG_URLS": "http://127.0.0.1:9",
    }
    for name, value in environment.items():
        monkeypatch.setenv(name, value)

    async def run(*arguments: str) -> Any:
        return await run_events_command(main, *arguments, "--queue", "watch.users.v1")

    topology = load_topology()
    publisher = Publisher(broker_url, "test-park", topology)
    await publisher.publish("", topology.queue("watch.users.v1").parked_queue, b"{}", message_id="one", headers={})
    await publisher.aclose()

    assert [message["id"] for message in (await run("list"))[1]] == ["one"]
    assert (await run("show", "--id", "one"))[1]["body"] == "{}"
    assert [message["id"] for message in (await run("replay"))[1]] == ["one"]
    status, listed, errors = await run("list")
    assert (status, listed, errors) == (0, [], "")
