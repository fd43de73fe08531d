"""Spans: what is recorded when somebody wants it, and what is passed on when nobody does."""

import re
from collections.abc import Iterator

import httpx
import pytest
from fastapi import FastAPI
from prometheus_client import CollectorRegistry

from chassis import context, tracing
from chassis.app import create_app, service_router
from chassis.http import Peer, PeerUnavailableError
from chassis.testing.tracing import RecordingTracer, recording
from chassis.tracing import Kind, Span

OFFERED = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
TRACEPARENT = re.compile(r"00-[0-9a-f]{32}-[0-9a-f]{16}-0[01]")


@pytest.fixture
def memory() -> Iterator[RecordingTracer]:
    with recording() as tracer:
        yield tracer


def peer(*statuses: int) -> tuple[Peer, list[httpx.Request]]:
    """A peer that answers these, one after the other, and what it was asked."""
    asked: list[httpx.Request] = []
    answers = iter(statuses)

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(next(answers))

    return Peer("catalog", ["http://peer"], transport=httpx.MockTransport(answer)), asked


def application() -> FastAPI:
    router = service_router()

    @router.get("/things/{number}")
    async def thing(number: int) -> dict[str, str | None]:
        if number == 0:
            raise RuntimeError("broken")
        return {"traceparent": context.traceparent.get()}

    return create_app(title="test", routers=[router], checks={}, registry=CollectorRegistry())


def client() -> httpx.AsyncClient:
    return httpx.AsyncClient(transport=httpx.ASGITransport(application()), base_url="http://test")


async def test_without_a_tracer_ids_are_passed_on_and_nothing_is_recorded() -> None:
    assert not tracing.is_recording()
    to, asked = peer(200)
    with tracing.entered(Kind.SERVER, "GET", OFFERED) as span:
        await to.get("/", token="t")
        assert tracing.start_child(Kind.CLIENT, "SELECT") is None
    assert asked[0].headers["traceparent"] == span.traceparent
    assert TRACEPARENT.fullmatch(span.traceparent)
    assert span.traceparent.split("-")[1] == OFFERED.split("-")[1]


async def test_every_try_at_a_peer_is_a_span_that_the_peer_is_told_of(memory: RecordingTracer) -> None:
    to, asked = peer(503, 200)
    with tracing.entered(Kind.SERVER, "GET", OFFERED) as above:
        await to.get("/", token="t")
    server, first, second = memory.spans
    assert (server.parent, first.parent, second.parent) == (OFFERED, above.traceparent, above.traceparent)
    assert [request.headers["traceparent"] for request in asked] == [first.traceparent, second.traceparent]
    assert [span.attributes["http.response.status_code"] for span in (first, second)] == [503, 200]
    assert len(first.ended_with) == 1
    assert first.ended_with != [None]
    assert second.ended_with == [None]


async def test_a_peer_that_stays_away_leaves_ended_spans(memory: RecordingTracer) -> None:
    to, _ = peer(503, 503, 503)
    with tracing.entered(Kind.SERVER, "GET", OFFERED), pytest.raises(PeerUnavailableError):
        await to.get("/", token="t")
    assert all(len(span.ended_with) == 1 for span in memory.spans)


async def test_work_that_nobody_asked_for_is_not_traced(memory: RecordingTracer) -> None:
    to, asked = peer(200)
    await to.get("/", token="t")
    assert memory.spans == []
    assert "traceparent" not in asked[0].headers


async def test_a_request_is_a_span_named_after_its_route(memory: RecordingTracer) -> None:
    async with client() as http:
        seen = (await http.get("/things/7", headers={"traceparent": OFFERED})).json()["traceparent"]
    (span,) = memory.spans
    assert (span.kind, span.name, span.parent, span.traceparent) == (Kind.SERVER, "GET /things/{number}", OFFERED, seen)
    assert span.attributes["http.response.status_code"] == 200
    assert span.ended_with == [None]


async def test_only_our_own_failures_are_errors(memory: RecordingTracer) -> None:
    async with client() as http:
        await http.get("/things/0")
        await http.get("/things/none")
    assert [span.ended_with for span in memory.spans] == [["500"], [None]]


async def test_probes_are_not_traced(memory: RecordingTracer) -> None:
    async with client() as http:
        await http.get("/livez")
        await http.get("/metrics")
    assert memory.spans == []


def test_a_protocol_that_is_not_spoken_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc")
    with pytest.raises(ValueError, match="grpc"):
        tracing.configure_tracing("test")
    assert not tracing.is_recording()


def test_the_sdk_can_be_disabled(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setenv("OTEL_SDK_DISABLED", "true")
    tracing.configure_tracing("test")
    assert not tracing.is_recording()


def is_marked_sampled(span: Span) -> bool:
    return bool(int(span.traceparent.split("-")[3], 16) & 1)


@pytest.mark.parametrize(("flags", "is_sampled"), [("01", True), ("00", False)])
def test_the_callers_decision_to_sample_is_followed(flags: str, is_sampled: bool) -> None:
    from chassis.otlp import OtlpTracer

    tracer = OtlpTracer("test")
    span = tracer.start(Kind.SERVER, "GET", OFFERED[:-2] + flags, {})
    assert span.traceparent.startswith(OFFERED[:36])
    assert span.traceparent.split("-")[2] != OFFERED.split("-")[2]
    assert is_marked_sampled(span) == is_sampled
    assert is_marked_sampled(tracer.start(Kind.SERVER, "GET", "nonsense", {}))
