"""What the API's document owes to those who read it and to generators of clients; the committed copy of it."""

import ast
import html
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import jsonschema
import pytest
from documented import NEXT_STEP, PROBLEM
from openapi_spec_validator import OpenAPIV31SpecValidator

ROOT = Path(__file__).parents[2]
SNAPSHOT = ROOT / "docs" / "openapi.json"
SERVICES = ("gateway", "identity-service", "subscription-service", "catalog-service", "watch-service", "shared")
TAGS = ["users", "sessions", "packages", "subscriptions", "entitlements", "genres", "sync", "movies", "watched",
        "reports", "gateway"]  # fmt: skip

Operation = dict[str, Any]


@pytest.fixture(scope="module")
def document(http: httpx.Client) -> dict[str, Any]:
    answer = http.get("/openapi.json")
    assert answer.status_code == 200
    found: dict[str, Any] = answer.json()
    return found


def operations(document: dict[str, Any]) -> Iterator[tuple[str, Operation]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield f"{method.upper()} {path}", operation


def resolved(document: dict[str, Any], node: dict[str, Any]) -> dict[str, Any]:
    if "$ref" in node:
        _, _, section, name = node["$ref"].split("/")
        found: dict[str, Any] = document["components"][section][name]
        return found
    return node


def nodes(node: Any) -> Iterator[dict[str, Any]]:
    if isinstance(node, dict):
        yield node
    for child in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from nodes(child)


def validate(document: dict[str, Any], schema: dict[str, Any], value: Any) -> None:
    whole = {**schema, "components": document["components"]}
    jsonschema.Draft202012Validator(whole, format_checker=jsonschema.FormatChecker()).validate(value)


def test_it_is_openapi_31(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")
    assert list(OpenAPIV31SpecValidator(document).iter_errors()) == []


def test_tags_come_in_the_order_of_the_contract(document: dict[str, Any]) -> None:
    assert [tag["name"] for tag in document["tags"]] == TAGS
    assert all(tag["description"] for tag in document["tags"])
    for name, operation in operations(document):
        assert len(operation["tags"]) == 1, name
        assert operation["tags"][0] in TAGS, name


def test_every_operation_has_a_name_a_summary_and_described_inputs(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        assert re.fullmatch(r"[a-z][A-Za-z]+", operation["operationId"]), name
        assert operation["summary"][0].isupper(), name
        assert not operation["summary"].endswith("."), name
        for parameter in operation.get("parameters", []):
            assert parameter.get("description"), (name, parameter["name"])
            assert "null" not in json.dumps(parameter["schema"].get("anyOf", "")), (name, parameter["name"])
        templates = set(re.findall(r"\{(\w+)\}", name))
        assert templates == {p["name"] for p in operation.get("parameters", []) if p["in"] == "path"}, name


def test_every_route_says_who_may_call_it(document: dict[str, Any]) -> None:
    assert document["components"]["securitySchemes"]["accessToken"]["scheme"] == "bearer"
    public = {name for name, operation in operations(document) if operation["security"] == []}
    assert public == {
        "GET /.well-known/jwks.json", "GET /livez", "GET /readyz", "POST /v1/auth/login", "POST /v1/auth/refresh",
        "POST /v1/auth/password/forgot", "POST /v1/auth/password/reset", "POST /v1/users",
    }  # fmt: skip
    for name, operation in operations(document):
        assert operation["security"] in ([], [{"accessToken": []}]), name
        assert ("401" in operation["responses"]) >= (name not in public), name


def test_every_failure_is_a_problem_with_valid_examples_of_its_codes(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        if operation["tags"] == ["gateway"]:
            continue
        for status, reference in operation["responses"].items():
            if status < "400":
                continue
            response = resolved(document, reference)
            assert set(response["content"]) == {PROBLEM}, (name, status)
            examples = response["content"][PROBLEM]["examples"]
            assert examples, (name, status)
            for code, example in examples.items():
                problem = example["value"]
                assert (problem["code"], str(problem["status"])) == (code, status), name
                assert problem["type"] == f"/docs/problems#{code}", name
                validate(document, response["content"][PROBLEM]["schema"], problem)


def test_schemas_use_standard_keywords_and_no_name_twice(document: dict[str, Any]) -> None:
    unknown = {"ge", "gt", "le", "lt"}
    for node in nodes(document):
        if "type" in node and isinstance(node["type"], str):
            assert not unknown & node.keys(), node
            assert not (isinstance(node.get("title"), str) and "detail" not in node), node
    names = [name.lower() for name in document["components"]["schemas"]]
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[A-Z][A-Za-z]+", name) for name in document["components"]["schemas"])


def test_every_example_is_valid(document: dict[str, Any]) -> None:
    checked = 0
    for node in nodes(document):
        schema = node.get("schema", node)
        values = [node["example"]] if "schema" in node and "example" in node else []
        if isinstance(node.get("examples"), list):
            schema, values = node, node["examples"]
        for value in values:
            validate(document, {key: item for key, item in schema.items() if key != "examples"}, value)
            checked += 1
    assert checked > 150


def test_every_body_has_an_example(document: dict[str, Any]) -> None:
    for name, operation in operations(document):
        successes = [answer for status, answer in operation["responses"].items() if status < "300"]
        for part in (operation.get("requestBody", {}), *successes):
            content = part.get("content", {}).get("application/json")
            assert content is None or content.keys() & {"example", "examples"}, name


def source() -> Iterator[ast.AST]:
    """Every node of the syntax trees of all services."""
    for service in SERVICES:
        for file in (ROOT / service / "src").rglob("*.py"):
            yield from ast.walk(ast.parse(file.read_text()))


def errors_of_the_source() -> dict[str, str]:
    """The codes of all errors that a service can answer, by the name of the class: it has a `code` and a `title`."""
    found = {}
    for node in source():
        if isinstance(node, ast.ClassDef):
            texts = {
                target.id: item.value.value
                for item in node.body if isinstance(item, ast.Assign) and isinstance(item.value, ast.Constant)
                for target in item.targets if isinstance(target, ast.Name)
            }  # fmt: skip
            if {"code", "title"} <= texts.keys():
                found[node.name] = str(texts["code"])
    return found


def literal_text(node: ast.expr) -> str | None:
    """The fixed parts of a text; None when it is none."""
    parts = node.values if isinstance(node, ast.JoinedStr) else [node]
    texts = [part.value for part in parts if isinstance(part, ast.Constant) and isinstance(part.value, str)]
    return "".join(texts) if texts else None


def test_every_problem_is_explained_where_its_type_leads(http: httpx.Client, document: dict[str, Any]) -> None:
    page = http.get("/docs/problems").text
    explained = dict(re.findall(r'<dt id="([a-z-]+)">.*?</dt>\s*<dd>(.*?)</dd>', page))
    assert set(errors_of_the_source().values()) - explained.keys() == set()
    in_document = {
        code
        for _, operation in operations(document)
        for response in operation["responses"].values()
        for code in resolved(document, response).get("content", {}).get(PROBLEM, {}).get("examples", {})
    }
    assert in_document - explained.keys() == set()


def test_every_problem_says_what_to_do_next(http: httpx.Client) -> None:
    explained = re.findall(r'<dt id="([a-z-]+)">.*?</dt>\s*<dd>(.*?)</dd>', http.get("/docs/problems").text)
    assert len(explained) > 50
    for code, text in explained:
        assert NEXT_STEP.search(html.unescape(text)), (code, text)


def test_details_written_where_an_error_is_raised_say_what_to_do_next() -> None:
    errors = errors_of_the_source().keys() | {"UnavailableError"}
    checked = 0
    for node in source():
        if not (isinstance(node, ast.Call) and getattr(node.func, "id", "") in errors and node.args):
            continue
        if (detail := literal_text(node.args[0])) is not None and " " in detail:
            assert NEXT_STEP.search(detail), detail
            checked += 1
    assert checked > 15


def test_every_route_says_that_it_refuses_an_unknown_parameter(document: dict[str, Any]) -> None:
    silent = [name for name, found in operations(document) if " /v1/" in name and "422" not in found["responses"]]
    assert silent == []


def test_a_change_of_the_document_is_deliberate(document: dict[str, Any]) -> None:
    """`make api-document` writes the copy anew: what clients rely on changes in a commit that shows it."""
    now = json.dumps(document, indent=1, ensure_ascii=False) + "\n"
    if os.environ.get("WRITE_API_DOCUMENT"):
        SNAPSHOT.write_text(now, encoding="utf-8")
    assert json.loads(SNAPSHOT.read_text(encoding="utf-8")) == document, "run 'make api-document' and look at the diff"
