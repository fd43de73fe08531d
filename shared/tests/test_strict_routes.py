"""The conventions that every route gets from the chassis, at the HTTP seam."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

import httpx
import pytest
from fastapi import Query, Request, Response
from pydantic import BeforeValidator, Field

from chassis.app import create_app, service_router
from chassis.errors import FieldError, InvalidRequestError, UnavailableError
from chassis.fields import ExternalId, Id, Line, QueryInt, RequestModel, ResponseModel, Timestamp
from chassis.metrics import new_registry
from chassis.pagination import Page, PageParams, add_page_headers, describe_page
from chassis.testing.http import assert_problem, running

router = service_router()


class Thing(RequestModel):
    name: Line
    number_of_parts: int
    made_at: Timestamp | None = None
    owner: Id | None = None
    parts: Annotated[list[str], Field(min_length=1, max_length=2)] | None = None
    note: Annotated[str, BeforeValidator(lambda value: value), Field(min_length=1, max_length=3)] | None = None


class ThingShown(ResponseModel):
    number_of_parts: int
    made_at: Timestamp | None


@router.post("/things")
async def make_thing(thing: Thing) -> ThingShown:
    return ThingShown(number_of_parts=thing.number_of_parts, made_at=thing.made_at)


@router.put("/optional")
async def optional_body(thing: Thing | None = None) -> dict[str, bool]:
    return {"given": thing is not None}


@router.get("/things")
async def list_things(  # noqa: PLR0913 - one parameter of each kind
    request: Request,
    response: Response,
    page: PageParams,
    genre_ids: Annotated[list[ExternalId] | None, Query(alias="genreIds")] = None,
    minimum: Annotated[QueryInt | None, Query(alias="min", ge=0)] = None,
    total: Annotated[QueryInt, Query()] = 95,
) -> Page[int]:
    add_page_headers(request, response, page, total)
    return Page(data=genre_ids or [], pagination=describe_page(page, total))


@router.get("/things/{thing_id}")
async def read_thing(thing_id: Id) -> dict[str, str]:
    return {"id": str(thing_id)}


@router.get("/broken")
async def broken() -> None:
    raise RuntimeError("secret detail")


@router.get("/away")
async def away() -> None:
    raise UnavailableError(retry_after=7)


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    app = create_app(title="Things", routers=[router], checks={}, registry=new_registry())
    async with running(app) as client:
        yield client


def pointers(document: dict[str, Any]) -> set[str]:
    return {error["pointer"] for error in document["errors"]}


async def post(client: httpx.AsyncClient, body: str | bytes, content_type: str = "application/json") -> httpx.Response:
    return await client.post("/things", content=body, headers={"content-type": content_type})


async def test_a_valid_body_is_accepted_and_missing_values_are_null(client: httpx.AsyncClient) -> None:
    response = await post(client, '{"name": "chair", "numberOfParts": 5}')
    assert response.status_code == 200
    assert response.json() == {"numberOfParts": 5, "madeAt": None}


async def test_times_are_shown_in_utc_with_z(client: httpx.AsyncClient) -> None:
    response = await post(client, '{"name": "a", "numberOfParts": 1, "madeAt": "2026-01-31T12:00:00.25-03:00"}')
    assert response.json()["madeAt"] == "2026-01-31T15:00:00.250000Z"


@pytest.mark.parametrize(
    "body", ["", "{", "nonsense", '{"name": NaN}', '{"a": Infinity}', "[" * 100_000, b"\xff\xfe{}"]
)
async def test_no_json_at_all_is_400(client: httpx.AsyncClient, body: str | bytes) -> None:
    assert_problem(await post(client, body), 400, "malformed-json")


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ('{"name": "a", "name": "b", "numberOfParts": 1}', "/name"),
        ('{"name": "a", "numberOfParts": "1"}', "/numberOfParts"),
        ('{"name": "a", "numberOfParts": 1.0}', "/numberOfParts"),
        ('{"name": "a", "numberOfParts": true}', "/numberOfParts"),
        ('{"name": "a", "numberOfParts": 1, "colour": 1}', "/colour"),
        ('{"name": "a", "number_of_parts": 1}', "/number_of_parts"),
        ('{"name": "\\ud800", "numberOfParts": 1}', "/name"),
        ('{"name": "a\\u0000b", "numberOfParts": 1}', "/name"),
        ('{"numberOfParts": 1}', "/name"),
        ('{"name": 7, "numberOfParts": 1}', "/name"),
        ('{"name": "a", "numberOfParts": 1, "madeAt": "2026-01-31T12:00:00"}', "/madeAt"),
        ('{"name": "a", "numberOfParts": 1, "madeAt": "2026-02-31T12:00:00Z"}', "/madeAt"),
        ('{"name": "a", "numberOfParts": 1, "madeAt": 1700000000}', "/madeAt"),
        ('{"name": "a", "numberOfParts": 1, "owner": "0190A5A0-7B3C-7C3E-8F3A-5B1F0C9D2E11"}', "/owner"),
    ],
)
async def test_input_of_the_wrong_shape_is_422_and_says_where(
    client: httpx.AsyncClient, body: str, pointer: str
) -> None:
    assert pointer in pointers(assert_problem(await post(client, body), 422, "invalid-request"))


async def test_a_time_whose_plus_became_a_blank_is_told_how_to_write_it(client: httpx.AsyncClient) -> None:
    answer = await post(client, '{"name": "a", "numberOfParts": 1, "madeAt": "2026-01-31T12:00:00 01:00"}')
    (error,) = assert_problem(answer, 422, "invalid-request")["errors"]
    assert (error["pointer"], "%2B" in error["message"]) == ("/madeAt", True)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ('{"name": "a", "numberOfParts": true}', "must be a valid integer"),
        ('{"name": "a", "numberOfParts": 1, "parts": ["a", "b", "c"]}', "must have at most 2 items"),
        ('{"name": "a", "numberOfParts": 1, "parts": []}', "must have at least 1 item"),
        ('{"name": "a", "numberOfParts": 1, "note": "abcd"}', "must have at most 3 characters"),
        ('{"name": "a", "numberOfParts": 1, "note": ""}', "must have at least 1 character"),
        ("[]", "must be a JSON object"),
    ],
)
async def test_a_message_speaks_of_what_was_sent(client: httpx.AsyncClient, body: str, message: str) -> None:
    assert [e["message"] for e in assert_problem(await post(client, body), 422, "invalid-request")["errors"]] == [
        message
    ]


@pytest.mark.parametrize("body", ["[]", '"text"', "7", "null"])
async def test_a_body_that_is_no_object_is_422(client: httpx.AsyncClient, body: str) -> None:
    assert_problem(await post(client, body), 422, "invalid-request")


async def test_numbers_beyond_a_double_are_refused(client: httpx.AsyncClient) -> None:
    assert_problem(await post(client, '{"name": "a", "numberOfParts": 1e999}'), 422, "invalid-request")


async def test_what_was_sent_is_never_echoed(client: httpx.AsyncClient) -> None:
    response = await post(client, '{"name": {"password": "hunter2-hunter2"}, "numberOfParts": "hunter2-hunter2"}')
    assert "hunter2" not in response.text


@pytest.mark.parametrize(
    "content_type", ["text/plain", "application/x-www-form-urlencoded", "application/json; charset=utf-16"]
)
async def test_other_media_types_are_415(client: httpx.AsyncClient, content_type: str) -> None:
    assert_problem(await post(client, '{"name": "a", "numberOfParts": 1}', content_type), 415, "unsupported-media-type")


async def test_an_optional_body_may_be_absent_but_not_malformed(client: httpx.AsyncClient) -> None:
    assert (await client.put("/optional")).json() == {"given": False}
    refused = await client.put("/optional", content="x", headers={"content-type": "application/json"})
    assert_problem(refused, 400, "malformed-json")


async def test_bodies_over_one_mebibyte_are_413(client: httpx.AsyncClient) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"a" * 65536

    chunked = await client.post("/things", content=chunks(), headers={"content-type": "application/json"})
    assert_problem(chunked, 413, "body-too-large")
    assert_problem(await post(client, b'{"name": "' + b"a" * 1024 * 1024 + b'"}'), 413, "body-too-large")


@pytest.mark.parametrize("query", ["genreIds=28&genreIds=35", "genreIds=28,35", "genreIds=28%2C35"])
async def test_lists_may_be_repeated_or_comma_separated(client: httpx.AsyncClient, query: str) -> None:
    assert (await client.get(f"/things?{query}")).json()["data"] == [28, 35]


async def test_an_unknown_parameter_names_the_nearest_one(client: httpx.AsyncClient) -> None:
    document: Any = assert_problem(await client.get("/things?genreId=28"), 422, "invalid-request")
    assert pointers(document) == {"genreId"}
    assert "genreIds" in document["errors"][0]["message"]


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        ("min=1&min=2", "min"),
        ("pageNumber=0", "pageNumber"),
        ("pageNumber=-1", "pageNumber"),
        ("pageNumber=1.0", "pageNumber"),
        ("pageNumber=%2B1", "pageNumber"),
        ("pageNumber=", "pageNumber"),
        ("pageNumber=99999999999999999999999", "pageNumber"),
        ("pageSize=101", "pageSize"),
        ("pageSize=0", "pageSize"),
        ("pageSize=ten", "pageSize"),
        ("genreIds=28,x", "genreIds"),
        ("genreIds=", "genreIds"),
        ("genreIds=99999999999", "genreIds"),
    ],
)
async def test_bad_parameters_are_422_and_named(client: httpx.AsyncClient, query: str, pointer: str) -> None:
    assert pointers(assert_problem(await client.get(f"/things?{query}"), 422, "invalid-request")) == {pointer}


async def test_a_query_that_is_no_utf8_is_400(client: httpx.AsyncClient) -> None:
    assert_problem(await client.get("/things?min=%ff"), 400, "malformed-request")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", {"pageNumber": 1, "pageSize": 10, "totalPages": 10, "lastPage": False, "firstPage": True}),
        ("pageNumber=10", {"pageNumber": 10, "pageSize": 10, "totalPages": 10, "lastPage": True, "firstPage": False}),
        ("pageNumber=99", {"pageNumber": 99, "pageSize": 10, "totalPages": 10, "lastPage": True, "firstPage": False}),
        ("total=0", {"pageNumber": 1, "pageSize": 10, "totalPages": 0, "lastPage": True, "firstPage": True}),
        (
            "total=0&pageNumber=3",
            {"pageNumber": 3, "pageSize": 10, "totalPages": 0, "lastPage": True, "firstPage": False},
        ),
    ],
)
async def test_the_envelope(client: httpx.AsyncClient, query: str, expected: dict[str, Any]) -> None:
    response = await client.get(f"/things?{query}")
    assert set(response.json()) == {"data", "pagination"}
    assert response.json()["pagination"] == expected


@pytest.mark.parametrize(
    ("query", "relations"),
    [
        ("", {"first": 1, "last": 10, "next": 2}),
        ("pageNumber=5", {"first": 1, "last": 10, "prev": 4, "next": 6}),
        ("pageNumber=10", {"first": 1, "last": 10, "prev": 9}),
        ("pageNumber=99", {"first": 1, "last": 10, "prev": 10}),
        ("total=0", {"first": 1}),
        ("total=0&pageNumber=4", {"first": 1}),
    ],
)
async def test_link_headers_name_the_pages_that_exist(
    client: httpx.AsyncClient, query: str, relations: dict[str, int]
) -> None:
    response = await client.get(f"/things?{query}")
    numbers = {rel: int(httpx.URL(link["url"]).params["pageNumber"]) for rel, link in response.links.items()}
    assert numbers == relations
    assert response.headers["x-total-count"] == ("0" if "total=0" in query else "95")


async def test_links_keep_the_filters(client: httpx.AsyncClient) -> None:
    response = await client.get("/things?genreIds=28,35&pageSize=7")
    target = httpx.URL(response.links["next"]["url"])
    assert target.params.get_list("genreIds") == ["28", "35"]
    assert target.params["pageSize"] == "7"


async def test_unknown_paths_and_methods_have_problems_too(client: httpx.AsyncClient) -> None:
    assert_problem(await client.get("/nothing"), 404, "not-found")
    assert_problem(await client.get("/things/"), 404, "not-found")
    refused = await client.delete("/optional")
    assert_problem(refused, 405, "method-not-allowed")
    assert refused.headers["allow"] == "PUT"


async def test_a_bad_id_in_the_path_is_422(client: httpx.AsyncClient) -> None:
    assert pointers(assert_problem(await client.get("/things/abc"), 422, "invalid-request")) == {"thing_id"}


async def test_a_defect_shows_nothing_of_the_inside(client: httpx.AsyncClient) -> None:
    response = await client.get("/broken")
    assert_problem(response, 500, "internal-error")
    assert "secret detail" not in response.text
    assert "RuntimeError" not in response.text


async def test_unavailability_says_when_to_try_again(client: httpx.AsyncClient) -> None:
    response = await client.get("/away")
    assert_problem(response, 503, "service-unavailable")
    assert response.headers["retry-after"] == "7"


@pytest.mark.parametrize("offered", ["abc-123", "A" * 128])
async def test_a_sane_request_id_is_kept(client: httpx.AsyncClient, offered: str) -> None:
    response = await client.get("/things", headers={"X-Request-Id": offered})
    assert response.headers["x-request-id"] == offered


@pytest.mark.parametrize("offered", ["", "A" * 129, "two words", "a;b", "<script>"])
async def test_a_strange_request_id_is_replaced(client: httpx.AsyncClient, offered: str) -> None:
    response = await client.get("/things", headers={"X-Request-Id": offered})
    assert response.headers["x-request-id"] != offered
    assert len(response.headers["x-request-id"]) == 36


async def test_head_answers_like_get(client: httpx.AsyncClient) -> None:
    assert (await client.head("/things")).status_code == 200


async def test_metrics_are_labelled_by_template(client: httpx.AsyncClient) -> None:
    await client.get("/things/0190a5a0-7b3c-7c3e-8f3a-5b1f0c9d2e11")
    await client.get("/no/such/path")
    text = (await client.get("/metrics")).text
    assert 'route="/things/{thing_id}"' in text
    assert "0190a5a0" not in text
    assert "no/such" not in text


async def test_the_document_names_every_operation_once(client: httpx.AsyncClient) -> None:
    document = (await client.get("/openapi.json")).json()
    assert document["openapi"].startswith("3.1")
    assert document["paths"]["/things"]["post"]["operationId"] == "makeThing"
    assert "/livez" not in document["paths"]


def test_an_error_may_name_what_it_refuses() -> None:
    error = InvalidRequestError(errors=[FieldError("/name", "is taken")])
    assert error.errors == (FieldError("/name", "is taken"),)
