"""The AsyncAPI document: valid, generated from the contracts as they are, and with every reference leading somewhere.

`asyncapi/3.0.0.schema.json` is that of the AsyncAPI initiative (package `@asyncapi/specs`), unchanged.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft7Validator

from chassis.events.asyncapi import document, render
from chassis.events.topology import contracts_directory, load_topology

CONTRACTS = contracts_directory()
SCHEMA = json.loads((Path(__file__).parent / "asyncapi" / "3.0.0.schema.json").read_text())
KEPT = json.loads((CONTRACTS / "asyncapi.json").read_text())


def errors_of(candidate: dict[str, Any]) -> list[str]:
    return [f"{list(error.path)}: {error.message}"[:300] for error in Draft7Validator(SCHEMA).iter_errors(candidate)]


def references(part: object) -> Iterator[str]:
    if isinstance(part, dict):
        for name, value in part.items():
            if name == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)


def test_the_document_is_valid() -> None:
    assert errors_of(KEPT) == []


@pytest.mark.parametrize(
    "spoil",
    [
        lambda d: d["operations"]["send.identity.user.changed.v1"].pop("action"),
        lambda d: d["channels"]["identity.user.changed.v1"]["bindings"]["amqp"].update(exchange={"durable": "yes"}),
        lambda d: d["components"]["messages"]["identity.user.changed.v1"].update(examples=[{"payload": 1, "x": 2}]),
    ],
)
def test_the_schema_finds_mistakes(spoil: Any) -> None:
    candidate = json.loads(json.dumps(KEPT))
    spoil(candidate)
    assert errors_of(candidate)


def test_the_kept_document_is_that_of_the_contracts() -> None:
    assert (CONTRACTS / "asyncapi.json").read_text() == render(CONTRACTS / "events"), (
        "run `python -m chassis.events.asyncapi`"
    )


def test_every_reference_leads_somewhere() -> None:
    found = set(references(KEPT))
    assert found
    for reference in found:
        if reference.startswith("#/"):
            target = KEPT
            for step in reference.removeprefix("#/").split("/"):
                target = target[step]
        else:
            assert (CONTRACTS / reference).is_file(), reference


def test_everything_of_the_topology_is_in_it() -> None:
    topology = load_topology()
    operations = document(CONTRACTS / "events")["operations"]
    heard = {f"receive.{service}.{kind}" for service, kinds in topology.listeners.items() for kind in kinds}
    sent = {f"send.{b.routing_key}" for queue in topology.queues for b in queue.bindings}
    sent |= {f"send.{kind}" for kind in topology.broadcasts}
    assert operations.keys() == heard | sent | {f"receive.{queue.name}" for queue in topology.queues}
