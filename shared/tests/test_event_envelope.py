"""What is an event and what is none."""

import json
from dataclasses import replace

import pytest
from shop_events import order

from chassis.events.envelope import MAX_BYTES, InvalidEventError, decode, encode


def test_an_event_survives_the_wire() -> None:
    event = order(1, 7)
    assert decode(encode(event)) == event


@pytest.mark.parametrize(
    "change",
    [
        {"specversion": "0.3"},
        {"id": "x"},
        {"type": None},
        {"subject": ""},
        {"time": "yesterday"},
        {"data": None},
        {"data": {}},
        {"data": {"revision": "17"}},
        {"data": {"revision": True}},
        {"data": {"revision": -1}},
    ],
    ids=str,
)
def test_what_is_no_event_is_refused(change: dict[str, object]) -> None:
    document = {**json.loads(encode(order(1))), **change}
    with pytest.raises(InvalidEventError):
        decode(json.dumps(document).encode())


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b'{"specversion": NaN}', b" " * 300_000])
def test_what_is_no_json_is_refused(body: bytes) -> None:
    with pytest.raises(InvalidEventError):
        decode(body)


def test_unknown_members_are_ignored() -> None:
    document = {**json.loads(encode(order(1))), "later": 1}
    assert decode(json.dumps(document).encode()).subject == "order/1"


def test_an_event_that_no_consumer_would_accept_is_not_stored() -> None:
    with pytest.raises(ValueError, match="more than consumers accept"):
        encode(replace(order(1), data={"revision": 1, "text": "x" * MAX_BYTES}))


@pytest.mark.parametrize("name", ["correlation_id", "causation_id", "traceparent"])
def test_optional_members_are_texts(name: str) -> None:
    with pytest.raises(InvalidEventError):
        decode(encode(replace(order(1), **{name: 5})))  # type: ignore[arg-type]  # what is to be refused


def test_deep_nesting_is_no_event() -> None:
    with pytest.raises(InvalidEventError):
        decode(b"[" * 100_000)
