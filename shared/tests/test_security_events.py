"""What is refused is logged: with codes and our own names, never with what the client wrote."""

import contextlib
import logging
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

import httpx
import orjson
import pytest
from fastapi import FastAPI, Header

from chassis.app import create_app, service_router
from chassis.auth import CurrentAdmin, CurrentPrincipal
from chassis.errors import Kind, ServiceError
from chassis.fields import Id, Line, RequestModel
from chassis.ids import new_id
from chassis.logging import JsonFormatter
from chassis.metrics import new_registry
from chassis.pagination import PageParams
from chassis.security_events import Budget
from chassis.testing.http import running
from chassis.testing.tokens import TokenIssuer

SECRET = "hunter2-hunter2"
router = service_router()


class Part(RequestModel):
    label: Line


class Form(RequestModel):
    email: Line
    password: Line
    parts: list[Part] | None = None


@router.post("/forms")
async def fill(form: Form, key: Annotated[int | None, Header(alias="Idempotency-Key")] = None) -> None: ...


@router.get("/forms")
async def list_forms(page: PageParams) -> None: ...


@router.get("/forms/{id}")
async def read(id: Id, principal: CurrentPrincipal) -> None: ...  # noqa: A002 - the name on the wire


@router.delete("/forms")
async def remove(principal: CurrentAdmin) -> None: ...


class TooManyError(ServiceError):
    code = "too-many"
    kind = Kind.THROTTLED


@router.post("/throttled")
async def throttled() -> None:
    raise TooManyError


@pytest.fixture
async def client(token_issuer: TokenIssuer) -> AsyncIterator[httpx.AsyncClient]:
    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, Any]]:
        yield {"verifier": await token_issuer.verifier()}

    app = create_app(title="Forms", routers=[router], checks={}, registry=new_registry(), lifespan=lifespan)
    async with running(app) as client:
        yield client


@pytest.fixture
def events(caplog: pytest.LogCaptureFixture) -> Callable[[], list[dict[str, Any]]]:
    """The security events so far, as they are written to standard output."""
    caplog.set_level(logging.INFO, logger="security")

    def written() -> list[dict[str, Any]]:
        formatter = JsonFormatter("forms")
        return [orjson.loads(formatter.format(record)) for record in caplog.records if record.name == "security"]

    return written


Events = Callable[[], list[dict[str, Any]]]


@pytest.mark.parametrize(
    ("content", "code", "inputs"),
    [
        ('{"email": "a@example.com"}', "invalid-request", ["/password"]),
        (f'{{"email": 7, "password": ["{SECRET}"]}}', "invalid-request", ["/email", "/password"]),
        (f'{{"email": "a", "password": "b", "{SECRET}": 1, "4711": 2}}', "invalid-request", ["/*", "/?"]),
        (f'{{"password": "{SECRET}", "password": "b", "email": "c"}}', "invalid-request", ["/password"]),
        ('{"email": "a", "password": "b", "parts": [{"label": "x"}, {}]}', "invalid-request", ["/parts/*/label"]),
        (f'{{"email": "a", "password": "{SECRET}\\ud800"}}', "invalid-request", ["/password"]),
        (f'{{"password": "{SECRET}"', "malformed-json", None),
        (f'{{"a/{SECRET}": 1, "email": "a", "password": "b"}}', "invalid-request", ["/?"]),
    ],
)
async def test_refused_bodies_are_recorded_without_what_was_in_them(
    client: httpx.AsyncClient, events: Events, content: str, code: str, inputs: list[str] | None
) -> None:
    answer = await client.post("/forms", content=content, headers={"content-type": "application/json"})
    assert answer.status_code in (400, 422)
    (event,) = events()
    assert (event["message"], event["code"], event["method"], event["route"]) == (
        "request refused",
        code,
        "POST",
        "/forms",
    )
    assert event.get("inputs") == inputs
    assert event["ip"] == "127.0.0.1"
    assert SECRET not in str(events())
    assert "4711" not in str(events())


async def test_other_places_for_input_are_recorded_too(
    client: httpx.AsyncClient, events: Events, token_issuer: TokenIssuer
) -> None:
    good = {"email": "a", "password": "b"}
    await client.get(f"/forms?pageSize=x&{SECRET}={SECRET}")
    await client.get("/forms?pageSize=x")
    await client.get(f"/forms/{SECRET}", headers=token_issuer.bearer())
    await client.post("/forms", json=good, headers={"Idempotency-Key": SECRET})
    await client.post("/forms", content=f"password={SECRET}", headers={"content-type": "text/plain"})
    assert [(event["code"], event.get("inputs")) for event in events()] == [
        ("invalid-request", ["?"]),
        ("invalid-request", ["pageSize"]),
        ("invalid-request", ["id"]),
        ("invalid-request", ["Idempotency-Key"]),
        ("unsupported-media-type", None),
    ]
    assert SECRET not in str(events())


async def test_refused_credentials_permissions_and_rates_are_recorded_and_say_who(
    client: httpx.AsyncClient, events: Events, token_issuer: TokenIssuer
) -> None:
    user = new_id()
    await client.delete("/forms")
    await client.delete("/forms", headers={"Authorization": f"Bearer {SECRET}"})
    await client.delete("/forms", headers=token_issuer.bearer(user))
    await client.post("/throttled")
    await client.delete("/forms", headers=token_issuer.bearer(user, ["admin"]))
    await client.get("/nothing")
    assert [(event["code"], event["userId"]) for event in events()] == [
        ("unauthenticated", None),
        ("invalid-token", None),
        ("forbidden", str(user)),
        ("too-many", None),
    ]
    assert SECRET not in str(events())


async def test_a_flood_is_recorded_in_part_and_hides_nothing_else(client: httpx.AsyncClient, events: Events) -> None:
    for _ in range(300):
        await client.post("/forms", json={})
    assert 100 <= len(events()) < 200
    await client.delete("/forms")
    assert events()[-1]["code"] == "unauthenticated"


def test_what_a_budget_leaves_out_is_counted() -> None:
    moment = 0.0
    budget = Budget(per_second=2, burst=3, now=lambda: moment)
    assert [budget.take() for _ in range(5)] == [0, 0, 0, None, None]
    moment += 0.5
    assert [budget.take() for _ in range(2)] == [2, None]
    moment += 3600
    assert [budget.take() for _ in range(4)] == [1, 0, 0, None]
