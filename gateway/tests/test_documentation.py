"""One document of what can be reached, rendered without the internet."""

import copy
import re
from typing import Any

import httpx
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from chassis.problems import Problem
from chassis.testing.http import assert_problem
from gateway.openapi import CREDIT, merge
from gateway.openapi_schemas import PROBLEM_SCHEMAS, tidy
from gateway.routes import ROUTES
from gateway.routing import LOCAL, Access
from gateway.testing.process import RunningGateway, StartGateway
from gateway.testing.upstream import Exchange, recording_upstream


def operation(name: str, **more: Any) -> dict[str, Any]:
    return {"operationId": name, "responses": {"200": {"description": "OK"}}, **more}


def schema(name: str) -> dict[str, Any]:
    content = {"application/json": {"schema": {"$ref": f"#/components/schemas/{name}"}}}
    return {"200": {"description": "OK", "content": content}}


UNKNOWN_GENRE = {
    "description": "Not found",
    "content": {
        "application/problem+json": {
            "schema": {"$ref": "#/components/schemas/Problem"},
            "examples": {
                "no-such-genre": {"value": {"code": "no-such-genre", "status": 404, "title": "x", "detail": "y"}}
            },
        }
    },
}

CATALOG = {
    "openapi": "3.1.0",
    "info": {"title": "catalog", "version": "0"},
    "paths": {
        "/v1/genres": {"get": operation("listGenres", responses=schema("Page"))},
        "/v1/genres/{genreId}": {
            "parameters": [{"name": "genreId", "in": "path", "required": True, "schema": {"type": "integer"}}],
            "get": operation("getGenre", responses={**schema("Genre"), "404": UNKNOWN_GENRE}),
        },
        "/v1/sync": {"post": operation("startSync"), "delete": operation("hidden")},
        "/internal/v1/movies": {"get": operation("internal")},
        "/livez": {"get": operation("live")},
    },
    "components": {
        "schemas": {
            "Page": {"type": "object", "properties": {"data": {"items": {"$ref": "#/components/schemas/Genre"}}}},
            "Genre": {"type": "object", "properties": {"id": {"type": "integer"}}},
            "Shared": {"type": "string"},
            "Unused": {"type": "string"},
        },
        "securitySchemes": {"other": {"type": "http", "scheme": "basic"}},
    },
}

WATCH = {
    "openapi": "3.1.0",
    "info": {"title": "watch", "version": "0"},
    "paths": {
        "/v1/watched": {"get": operation("listGenres", responses=schema("Page"))},
        "/v1/watched/{id}": {
            "put": operation(
                "mark",
                parameters=[{"name": "id", "in": "path", "required": True, "schema": {"type": "integer"}}],
                requestBody={"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Shared"}}}},
            )
        },
    },
    "components": {
        "schemas": {
            "Page": {"type": "object", "properties": {"data": {"items": {"$ref": "#/components/schemas/Entry"}}}},
            "Entry": {"type": "object"},
            "Shared": {"type": "string"},
        }
    },
}


@pytest.fixture
def merged() -> dict[str, Any]:
    return merge({"catalog": copy.deepcopy(CATALOG), "watch": copy.deepcopy(WATCH)}, ROUTES)


def test_it_is_a_valid_document(merged: dict[str, Any]) -> None:
    OpenAPIV31SpecValidator(merged).validate()
    assert merged["openapi"] == "3.1.0"
    assert CREDIT in merged["info"]["description"]


def test_only_routes_of_the_table_are_shown(merged: dict[str, Any]) -> None:
    assert set(merged["paths"]) == {
        "/livez", "/readyz", "/v1/genres", "/v1/genres/{genreId}", "/v1/sync", "/v1/watched", "/v1/watched/{id}",
    }  # fmt: skip
    assert set(merged["paths"]["/v1/sync"]) == {"post"}


def test_components_of_one_name_that_differ_get_names_of_their_own(merged: dict[str, Any]) -> None:
    schemas = merged["components"]["schemas"]
    assert schemas["CatalogPage"]["properties"]["data"]["items"]["$ref"].endswith("/Genre")
    assert schemas["WatchPage"]["properties"]["data"]["items"]["$ref"].endswith("/Entry")
    assert "Page" not in schemas
    assert "Shared" in schemas
    assert "Unused" not in schemas


def test_operation_ids_are_unique(merged: dict[str, Any]) -> None:
    ids = [op["operationId"] for path in merged["paths"].values() for op in path.values()]
    assert len(ids) == len(set(ids))


def test_every_operation_says_who_may_call_it_and_how_it_can_fail(merged: dict[str, Any]) -> None:
    by_template = {re.sub(r"\{\w+\}", "{}", route.template): route for route in ROUTES}
    for path, methods in merged["paths"].items():
        route = by_template[re.sub(r"\{\w+\}", "{}", path)]
        if route.upstream == LOCAL:
            continue
        for op in methods.values():
            assert op["security"] == ([] if route.access is Access.PUBLIC else [{"accessToken": []}])
            for status in ("400", "401", "408", "414", "429", "431", "500", "502", "503", "504"):
                response = op["responses"][status]
                if "$ref" in response:
                    response = merged["components"]["responses"][response["$ref"].rpartition("/")[2]]
                assert "X-Request-Id" in response["headers"]
                content = response["content"]["application/problem+json"]
                assert content["schema"]["$ref"] == "#/components/schemas/Problem"
                assert content["examples"]
    assert "413" in merged["paths"]["/v1/watched/{id}"]["put"]["responses"]
    assert "403" in merged["paths"]["/v1/sync"]["post"]["responses"]
    examples = merged["paths"]["/v1/genres/{genreId}"]["get"]["responses"]["404"]["content"][
        "application/problem+json"
    ]["examples"]
    assert {"not-found", "no-such-genre"} <= set(examples)


async def test_the_document_is_served_when_the_services_are_there(start_gateway: StartGateway) -> None:
    async def catalog_document(exchange: Exchange) -> None:
        await exchange.answer_json(CATALOG)

    async with (
        recording_upstream() as upstream,
        start_gateway(catalog=upstream.url) as gateway,
        gateway.client() as client,
    ):
        assert_problem(await client.get("/openapi.json"), 503, "documentation-unavailable")
        upstream.paths["/openapi.json"] = catalog_document
        answer = await client.get("/openapi.json")
        assert answer.status_code == 200
        assert "/v1/genres" in answer.json()["paths"]
        again = await client.get("/openapi.json", headers={"if-none-match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        await upstream.stop()
        assert (await client.get("/openapi.json")).status_code == 200, "what was fetched is kept"
        problems = (await client.get("/docs/problems")).text
        for code in ("no-such-genre", "gateway-timeout", "invalid-token", "rate-limited", "headers-too-large"):
            assert f'id="{code}"' in problems
        assert CREDIT in problems


async def test_the_pages_need_nothing_from_elsewhere(shared_gateway: RunningGateway) -> None:
    async with shared_gateway.client() as client:
        page = await client.get("/docs")
        assert page.headers["content-type"].startswith("text/html")
        assert CREDIT in page.text
        policy = page.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe-eval" not in policy
        assert "script-src 'self';" in policy
        assert not re.search(r"<script(?![^>]*\bsrc=)", page.text), "no script in the page"
        links = re.findall(r'(?:src|href)="([^"]+)"', page.text)
        assert len(links) >= 4
        for link in links:
            assert link.startswith("/")
            await fetched(client, link)
        assert "validatorUrl: null" in (await client.get("/docs/start.js")).text
        bundle = await client.get("/docs/swagger-ui-bundle.js")
        assert len(bundle.content) > 1_000_000
        assert (await client.head("/docs/swagger-ui-bundle.js")).headers["content-length"] == str(len(bundle.content))
        for path in ("/docs/../x", "/docs/nothing.js", "/docs/%2e%2e", "/docs/main.py"):
            assert (await client.get(path)).status_code in (400, 404)


async def fetched(client: httpx.AsyncClient, link: str) -> None:
    answer = await client.get(link)
    assert answer.status_code == 200, link
    assert "http://" not in link


async def test_the_index_names_the_ways_in(shared_gateway: RunningGateway) -> None:
    async with shared_gateway.client() as client:
        index = (await client.get("/", headers={"accept": "application/json"})).json()
        for name in ("documentation", "problems", "keys"):
            assert (await client.get(index[name])).status_code == 200


def test_the_schema_of_problems_is_that_of_the_model() -> None:
    schema = Problem.model_json_schema(ref_template="#/components/schemas/{model}")
    parts = {**schema.pop("$defs"), "Problem": schema}
    assert {name: tidy(part) for name, part in parts.items()} == PROBLEM_SCHEMAS
