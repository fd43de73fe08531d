"""One OpenAPI 3.1 document made of the services' own: what the route table exposes, and nothing else."""

import copy
import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from chassis.errors import (
    BodyTooLargeError,
    ForbiddenError,
    InvalidRequestError,
    MalformedJsonError,
    MalformedRequestError,
    NotFoundError,
    ServiceError,
    UnauthenticatedError,
    UnsupportedMediaTypeError,
)
from chassis.problem_documents import MEDIA_TYPE, problem_examples
from chassis.tokens import InvalidTokenError
from gateway.errors import (
    BadGatewayError,
    GatewayTimeoutError,
    HeadersTooLargeError,
    RateLimitedError,
    RequestTimeoutError,
    StartingError,
    UpstreamBusyError,
    UpstreamUnavailableError,
    UriTooLongError,
)
from gateway.openapi_headers import HEADER_COMPONENTS, describe_headers
from gateway.openapi_schemas import IF_NONE_MATCH, PROBLEM_SCHEMAS, TAGS, add_examples, tidy, tidy_operation
from gateway.routing import Access, Route

_log = logging.getLogger(__name__)

Document = Mapping[str, Any]

CREDIT = "This product uses TMDB and the TMDB APIs but is not endorsed, certified, or otherwise approved by TMDB."
_DESCRIPTION = f"""Register, take out subscriptions to packages of genres, see the films they allow, mark what \
you have watched and read reports.

**To begin:** `POST /v1/users` registers, `POST /v1/auth/login` answers an `accessToken` that lives for ten minutes; \
send it as `Authorization: Bearer …`. On the page `/docs` a login that you execute is used for all further calls.

- **Errors** are `application/problem+json` (RFC 9457). `code` is stable, `detail` says what to do next, `type` \
leads to [the list of all problems](/docs/problems), `requestId` is what to quote when you ask for help.
- **Lists** take `pageNumber` and `pageSize`; `Link` and `X-Total-Count` come as headers. Values may be repeated \
(`genreIds=28&genreIds=35`) or separated by commas. A parameter that does not exist is refused, never ignored.
- **Edits** of a package need `If-Match` with the `ETag` of what was read; `If-None-Match` spares an answer that is \
known already (304).
- **Retries:** `GET`, `PUT` and `DELETE` may be repeated; `POST` that creates something with the same `Idempotency-Key`.
- **Limits:** `RateLimit` says what is left; a 429 says in `Retry-After` how many seconds to wait.

{CREDIT}"""
_SECTIONS = ("schemas", "responses", "parameters", "examples", "requestBodies", "headers", "links")
_REF = re.compile(r"#/components/([A-Za-z]+)/(.+)")

# `InvalidRequestError` is the services' own, and every one of them refuses a parameter that a route does not have.
_ANY_ROUTE: tuple[type[ServiceError], ...] = (
    MalformedRequestError,
    InvalidRequestError,
    RequestTimeoutError,
    UriTooLongError,
    RateLimitedError,
    HeadersTooLargeError,
    ServiceError,
    BadGatewayError,
    UpstreamUnavailableError,
    UpstreamBusyError,
    GatewayTimeoutError,
)


def _shape(template: str) -> str:
    """A path template without the names of its parameters, which services may choose differently."""
    return re.sub(r"\{[^}]*\}", "{}", template)


def _references(node: Any) -> Iterator[tuple[str, str]]:
    """The (section, name) of every component that `node` refers to."""
    if isinstance(node, dict):
        reference = node.get("$ref")
        if isinstance(reference, str) and (match := _REF.fullmatch(reference)):
            yield match[1], match[2]
        for value in node.values():
            yield from _references(value)
    elif isinstance(node, list):
        for value in node:
            yield from _references(value)


def _rename(node: Any, names: Mapping[tuple[str, str], str]) -> Any:
    """A copy of `node` whose references follow the new names."""
    if isinstance(node, dict):
        renamed = {key: _rename(value, names) for key, value in node.items()}
        reference = node.get("$ref")
        if isinstance(reference, str) and (match := _REF.fullmatch(reference)) and (match[1], match[2]) in names:
            renamed["$ref"] = f"#/components/{match[1]}/{names[match[1], match[2]]}"
        return renamed
    return [_rename(value, names) for value in node] if isinstance(node, list) else node


def _components(document: Document) -> dict[tuple[str, str], Any]:
    components = document.get("components", {})
    return {(section, name): value for section in _SECTIONS for name, value in components.get(section, {}).items()}


def _conflicts(all_components: Iterable[Mapping[tuple[str, str], Any]]) -> set[tuple[str, str]]:
    """Components of one name that differ between services, or refer to such: each service's gets a name of its own."""
    tables = list(all_components)
    shared = [key for table in tables for key in table if sum(key in other for other in tables) > 1]
    conflicting = {
        key for key in shared for table in tables for other in tables if key in table and key in other
        if table[key] != other[key]
    }  # fmt: skip
    while True:
        more = {
            key for key in shared if key not in conflicting
            for table in tables if key in table and not conflicting.isdisjoint(_references(table[key]))
        }  # fmt: skip
        if not more:
            return conflicting
        conflicting |= more


def _plain_name(name: str) -> str:
    """What a person would call a component that is named after a generic class: GenrePage, not Page_GenreRead_."""
    match = re.fullmatch(r"Page_(\w+?)(?:Read)?_", name)
    return f"{match[1]}Page" if match else name


_PROBLEM = {"$ref": "#/components/schemas/Problem"}


def gateway_problems(route: Route, *, has_body: bool) -> dict[int, dict[str, Any]]:
    """The responses that the gateway itself may give to a request for `route`."""
    errors = list(_ANY_ROUTE)
    if route.access is not Access.PUBLIC:
        errors += [UnauthenticatedError, InvalidTokenError, StartingError]
    if route.access is Access.ADMIN:
        errors.append(ForbiddenError)
    if has_body:
        errors += [BodyTooLargeError, MalformedJsonError, UnsupportedMediaTypeError]
    if "{" in route.template:
        errors.append(NotFoundError)
    return problem_examples(*errors)


def _own_response(status: str, ours: Mapping[str, Any], shared: dict[str, Any]) -> dict[str, str]:
    """A reference to the response that says what the gateway answers with `status`, put into `shared`."""
    examples = ours["content"][MEDIA_TYPE]["examples"]
    name = "".join(code.title().replace("-", "") for code in sorted(examples))
    response = shared.setdefault(
        name,
        {"description": ours["description"], "content": {MEDIA_TYPE: {"schema": _PROBLEM, "examples": examples}}},
    )
    describe_headers(response, status, {})
    return {"$ref": f"#/components/responses/{name}"}


def _add_problems(operation: dict[str, Any], route: Route, shared: dict[str, Any]) -> None:
    """Add to an operation what the gateway itself may answer; `shared` collects responses by name."""
    responses = operation.setdefault("responses", {})
    for status, ours in gateway_problems(route, has_body="requestBody" in operation).items():
        theirs = responses.get(str(status))
        if theirs is None or "$ref" in theirs:
            responses[str(status)] = _own_response(str(status), ours, shared)
            continue
        content = theirs.setdefault("content", {}).setdefault(MEDIA_TYPE, {})
        content.setdefault("schema", _PROBLEM)
        content["examples"] = {**ours["content"][MEDIA_TYPE]["examples"], **content.get("examples", {})}
    for status, response in responses.items():
        if "$ref" not in response:
            if status >= "400":
                # FastAPI lists a model under the route's own media type; every error here is a problem document.
                content = response.setdefault("content", {})
                listed = content.pop("application/json", {})
                content.setdefault(MEDIA_TYPE, {}).setdefault("schema", listed.get("schema", _PROBLEM))
            describe_headers(response, status, operation)
    operation["responses"] = dict(sorted(responses.items()))


def _local_paths() -> dict[str, Any]:
    def health(summary: str, operation_id: str, *, may_fail: bool) -> dict[str, Any]:
        schema = {"type": "object", "properties": {"status": {"type": "string"}}, "required": ["status"]}
        answer = {"description": "State", "content": {"application/json": {"schema": schema}}}
        return {
            "get": {
                "operationId": operation_id,
                "summary": summary,
                "tags": ["gateway"],
                "security": [],
                "responses": {"200": answer, **({"503": answer} if may_fail else {})},
            }
        }

    return {
        "/livez": health("Whether the gateway runs", "livez", may_fail=False),
        "/readyz": health("Whether the gateway can let requests through", "readyz", may_fail=True),
    }


def _collect(
    documents: Mapping[str, Document],
    routes: Sequence[Route],
    names: Mapping[str, Mapping[tuple[str, str], str]],
    shared_responses: dict[str, Any],
) -> dict[str, Any]:
    paths: dict[str, Any] = {}
    seen: set[str] = set()
    for route in routes:
        document = documents.get(route.upstream)
        if document is None:
            continue
        found = {_shape(path): path for path in document.get("paths", {})}.get(_shape(route.template))
        operation = document["paths"][found].get(route.method.lower()) if found else None
        if found is None or operation is None:
            _log.info("route without documentation", extra={"method": route.method, "route": route.template})
            continue
        operation = _rename(copy.deepcopy(operation), names[route.upstream])
        if "parameters" in document["paths"][found]:
            shared = _rename(document["paths"][found]["parameters"], names[route.upstream])
            operation["parameters"] = [*shared, *operation.get("parameters", [])]
        if operation.get("operationId") in seen:
            operation["operationId"] = f"{route.upstream}_{operation['operationId']}"
        seen.add(operation.get("operationId", ""))
        operation.setdefault("tags", [route.upstream])
        operation["security"] = [] if route.access is Access.PUBLIC else [{"accessToken": []}]
        tidy_operation(operation)
        parameters = operation.setdefault("parameters", [])
        if "304" in operation.get("responses", {}) and IF_NONE_MATCH["name"] not in {p["name"] for p in parameters}:
            parameters.append(IF_NONE_MATCH)
        _add_problems(operation, route, shared_responses)
        paths.setdefault(found, {})[route.method.lower()] = operation
    return paths


def _own_components() -> dict[tuple[str, str], Any]:
    own: dict[tuple[str, str], Any] = {("schemas", name): schema for name, schema in PROBLEM_SCHEMAS.items()}
    return {**own, **HEADER_COMPONENTS}


def merge(documents: Mapping[str, Document], routes: Sequence[Route]) -> dict[str, Any]:
    """The public document, made of `documents` by upstream name."""
    tables: dict[str, dict[tuple[str, str], Any]] = {name: _components(doc) for name, doc in documents.items()}
    own = _own_components()
    # The gateway's problem schema stands for the services' own of that name, which are made of the same model.
    tables = {name: {k: v for k, v in table.items() if k not in own} for name, table in tables.items()}
    conflicting = _conflicts(tables.values())
    names = {
        upstream: {
            (section, name): (upstream.capitalize() if (section, name) in conflicting else "") + _plain_name(name)
            for section, name in table
        }
        for upstream, table in tables.items()
    }
    available = dict(own)
    for upstream, table in tables.items():
        for (section, name), value in table.items():
            renamed = _rename(value, names[upstream])
            available[section, names[upstream][section, name]] = tidy(renamed) if section == "schemas" else renamed
    shared_responses: dict[str, Any] = {}
    paths = {**_collect(documents, routes, names, shared_responses), **_local_paths()}
    available |= {("responses", name): response for name, response in shared_responses.items()}
    schemas = {name: value for (section, name), value in available.items() if section == "schemas"}
    for operation in [operation for path in paths.values() for operation in path.values()]:
        add_examples(operation, schemas)
    components: dict[str, Any] = {
        "securitySchemes": {
            "accessToken": {
                "type": "http",
                "scheme": "bearer",
                "bearerFormat": "JWT",
                "description": "The `accessToken` that `POST /v1/auth/login` answers; it lives for ten minutes.",
            }
        }
    }
    needed, missing = set(), list(_references(paths))
    while missing:
        if (key := missing.pop()) not in needed and key in available:
            needed.add(key)
            missing.extend(_references(available[key]))
    for section, name in sorted(needed):
        components.setdefault(section, {})[name] = available[section, name]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Movie package suite",
            "version": "1.0.0",
            "description": _DESCRIPTION,
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": "/", "description": "The gateway that serves this document"}],
        "tags": [{"name": name, "description": description} for name, description in TAGS.items()],
        "paths": paths,
        "components": components,
    }
