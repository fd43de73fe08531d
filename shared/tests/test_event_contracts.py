"""The event contracts: every event that flows has a schema, an example that fits it, and somebody it goes to."""

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from chassis.events.envelope import decode, encode
from chassis.events.pulse import heartbeat
from chassis.events.topology import contracts_directory, load_topology

EVENTS = contracts_directory() / "events"
TOPOLOGY = load_topology()
HEARTBEAT = "heartbeat.v1"
TYPES = sorted({b.routing_key for q in TOPOLOGY.queues for b in q.bindings} | TOPOLOGY.broadcasts)


def read(path: Path) -> Any:
    return json.loads(path.read_text())


@pytest.mark.parametrize("event_type", TYPES)
def test_every_event_that_flows_has_a_schema_and_an_example_that_fits(event_type: str) -> None:
    schema = read(EVENTS / f"{event_type}.schema.json")
    Draft202012Validator.check_schema(schema)
    example = read(EVENTS / f"{event_type}.example.json")
    Draft202012Validator(schema, format_checker=FormatChecker()).validate(example)
    event = decode(json.dumps(example).encode())
    assert event.type == event_type
    assert TOPOLOGY.exchange_of(event_type) in TOPOLOGY.exchanges


def test_no_contract_is_left_over() -> None:
    kept = {path.name.removesuffix(".schema.json") for path in EVENTS.glob("*.schema.json")}
    assert kept == {*TYPES, HEARTBEAT}


@pytest.mark.parametrize("exchange", TOPOLOGY.exchanges)
def test_the_heartbeat_of_every_producer_fits_its_contract(exchange: str) -> None:
    validator = Draft202012Validator(read(EVENTS / f"{HEARTBEAT}.schema.json"), format_checker=FormatChecker())
    validator.validate(read(EVENTS / f"{HEARTBEAT}.example.json"))
    validator.validate(json.loads(encode(heartbeat(exchange.removesuffix(".events"), "0f"))))


@pytest.mark.parametrize("event_type", TYPES)
def test_the_revision_is_part_of_every_contract(event_type: str) -> None:
    schema = read(EVENTS / f"{event_type}.schema.json")
    example = read(EVENTS / f"{event_type}.example.json")
    del example["data"]["revision"]
    assert list(Draft202012Validator(schema).iter_errors(example))
