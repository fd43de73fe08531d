"""OpenTelemetry: one trace from the gateway over the outbox and the broker to the projection."""

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest
from otlp_receiver import ReceivedSpan, Receiver, otlp_receiver
from suite_client import Person, until
from suite_processes import Copy, copies, free_port, held_down, pids, processes

CHANGED = "subscription.entitlements.changed.v1"
WAY = {
    ("gateway", "SERVER"),
    ("gateway", "CLIENT"),
    ("subscription-api", "SERVER"),
    ("subscription-worker", "PRODUCER"),
    ("catalog-worker", "CONSUMER"),
}


class Traced(NamedTuple):
    gateway: httpx.Client
    gateway_pid: int
    receiver: Receiver


@pytest.fixture(scope="module")
def traced(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Traced]:
    """The way of a subscription through processes whose spans go to a receiver; the rest of the suite as it is."""
    own = processes()
    folder = tmp_path_factory.mktemp("traced")
    workers = [name for name in own if name.startswith(("subscription-worker", "catalog-worker"))]
    # Those of the stack would take a share of the events.
    with otlp_receiver() as receiver, held_down(*workers), copies() as copy:
        otel = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.endpoint, "OTEL_BSP_SCHEDULE_DELAY": "100"}

        def start(name: str, **more: str) -> Copy:
            return copy(own[name], folder / f"{name}.log", otel | more)

        api_port, port = free_port(), free_port()
        api = start("subscription-api", SUBSCRIPTION_PORT=str(api_port), SUBSCRIPTION_OPS_PORT=str(free_port()))
        gateway = start(
            "gateway",
            GATEWAY_PORT=str(port),
            GATEWAY_OPS_PORT=str(free_port()),
            GATEWAY_SUBSCRIPTION_URLS=f"http://127.0.0.1:{api_port}",
        )
        for each in (start("subscription-worker"), start("catalog-worker"), api, gateway):
            each.wait_ready()
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as client:
            yield Traced(client, gateway.pid, receiver)


def one(spans: list[ReceivedSpan], service: str, kind: str, name: str | None = None) -> ReceivedSpan:
    found = [s for s in spans if (s.service, s.kind) == (service, kind) and name in (None, s.name)]
    assert len(found) == 1, (service, kind, name, [(s.service, s.kind, s.name) for s in spans])
    return found[0]


def is_whole(spans: list[ReceivedSpan]) -> bool:
    """Every process has sent its part; they do so in any order."""
    return {(span.service, span.kind) for span in spans} >= WAY


def test_one_trace_from_the_gateway_to_the_projection(traced: Traced, someone: Person, make_package: Any) -> None:
    package = make_package("Drama")
    offered = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
    answer = traced.gateway.post(
        "/v1/subscriptions", json={"packageId": package["id"]}, headers={**someone.headers, "traceparent": offered}
    )
    assert answer.status_code == 201, answer.text
    trace = offered.split("-")[1]
    spans: list[ReceivedSpan] = until(
        lambda: (found := traced.receiver.spans(trace)) and is_whole(found) and found, 30, "the trace"
    )

    door = one(spans, "gateway", "SERVER", "POST /v1/subscriptions")
    attempt = one(spans, "gateway", "CLIENT")
    handled = one(spans, "subscription-api", "SERVER", "POST /v1/subscriptions")
    published = one(spans, "subscription-worker", "PRODUCER", f"send subscription.events:{CHANGED}")
    applied = one(spans, "catalog-worker", "CONSUMER", "process catalog.entitlements.v1")
    written = [s for s in spans if s.service == "catalog-worker" and s.attributes.get("db.operation.name") == "update"]
    chain = [door, attempt, handled, published, applied, *written]
    assert [span.parent for span in chain] == [
        offered.split("-")[2], door.id, attempt.id, handled.id, published.id, *([applied.id] * len(written))
    ]  # fmt: skip
    assert {span.attributes["db.collection.name"] for span in written} == {"entitlements"}
    assert not any(span.is_error for span in chain)

    assert (door.attributes["http.response.status_code"], handled.attributes["http.route"]) == (
        201,
        "/v1/subscriptions",
    )
    assert applied.attributes["messaging.system"] == published.attributes["messaging.system"] == "rabbitmq"
    assert published.attributes["messaging.rabbitmq.destination.routing_key"] == CHANGED
    assert published.attributes["messaging.message.id"] == applied.attributes["messaging.message.id"]
    statements = [s for s in spans if s.service == "subscription-api" and s.kind == "CLIENT"]
    assert any(s.attributes["db.operation.name"] == "INSERT" and s.parent == handled.id for s in statements)
    assert "google/_upb" in Path(f"/proc/{traced.gateway_pid}/maps").read_text()
    # What spans say must be fit for anybody who may look at them.
    said = repr(spans)
    assert someone.email not in said
    assert someone.tokens["accessToken"] not in said


def test_a_failed_request_is_an_error_of_its_span(traced: Traced, someone: Person) -> None:
    # The broken one is the admission: a refusal of ours is no failure of the suite, a 5xx is.
    assert traced.gateway.get("/v1/packages").status_code == 401
    refused = until(
        lambda: [s for s in traced.receiver.spans() if s.attributes.get("http.response.status_code") == 401], 10
    )
    assert [(s.service, s.name, s.is_error) for s in refused] == [("gateway", "GET /v1/packages", False)]


PROGRAM = """
import os, sys
import gateway.assembly
from chassis.tracing import configure_tracing

for endpoint in ("", "http://127.0.0.1:9"):
    os.environ["OTEL_EXPORTER_OTLP_ENDPOINT"] = endpoint
    configure_tracing("gateway")
    print(gateway.assembly._exchange_class().__name__, "opentelemetry.sdk" in sys.modules)
"""


def test_without_an_endpoint_nothing_of_the_sdk_is_loaded() -> None:
    # docker-compose.yml passes the variable on although it is empty.
    gateway = processes()["gateway"]
    output = subprocess.run(
        [gateway.argv[0], "-c", PROGRAM],
        env=gateway.environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    ).stdout
    assert output.split() == ["Exchange", "False", "TracedExchange", "True"]


def test_a_serving_gateway_has_not_loaded_the_exporter() -> None:
    # The exporter's protobuf has a part in C, which shows in what the process has mapped.
    pid = pids()["gateway"]
    maps = Path(f"/proc/{pid}/maps").read_text()
    assert "httptools" in maps
    assert "google/_upb" not in maps
