"""Schemas of the public document as client generators want them, and examples made of what their members say."""

from collections.abc import Mapping
from typing import Any

Schemas = Mapping[str, Any]

# In the order in which a new client meets them.
TAGS: Mapping[str, str] = {
    "users": "Register, and read, edit or erase an account.",
    "sessions": "Log in, refresh, log out, recover a password; the keys that access tokens are signed with.",
    "packages": "Packages of genres and their versions.",
    "subscriptions": "Who holds which package.",
    "entitlements": "The genres that one's subscriptions add up to.",
    "genres": "Genres as TMDB lists them.",
    "sync": "The synchronisation with TMDB.",
    "movies": "The movies that one's genres allow.",
    "watched": "What one has watched.",
    "reports": "How much, which theme mostly, and what last.",
    "gateway": "Whether the gateway is there.",
}
IF_NONE_MATCH = {
    "name": "If-None-Match",
    "in": "header",
    "required": False,
    "description": "Tags the client has: 304 if one is current.",
    "schema": {"type": "string"},
}
# What `chassis.problems.Problem` says of itself; written down, because the gateway does without pydantic.
PROBLEM_SCHEMAS: Mapping[str, Any] = {
    "RefusedInput": {
        "description": "One refused input.",
        "properties": {
            "pointer": {"examples": ["/name"], "type": "string"},
            "message": {"examples": ["must have at least 1 character"], "type": "string"},
        },
        "required": ["pointer", "message"],
        "type": "object",
    },
    "Problem": {
        "description": "RFC 9457 problem details.",
        "properties": {
            "type": {"examples": ["/docs/problems#not-found"], "type": "string"},
            "title": {"examples": ["Not found"], "type": "string"},
            "status": {"examples": [404], "type": "integer"},
            "detail": {"examples": ["There is nothing at this address."], "type": "string"},
            "instance": {"examples": ["/v1/nothing"], "type": "string"},
            "code": {"examples": ["not-found"], "type": "string"},
            "requestId": {
                "anyOf": [{"type": "string"}, {"type": "null"}],
                "examples": ["0190a5a0-7b3c-7c3e-8f3a-5b1f0c9d2e11"],
            },
            "errors": {
                "anyOf": [
                    {"items": {"$ref": "#/components/schemas/RefusedInput"}, "type": "array"},
                    {"type": "null"},
                ],
            },
        },
        "required": ["type", "title", "status", "detail", "code"],
        "type": "object",
    },
}
# pydantic writes a bound that follows a validator under its own name.
_KEYWORDS: Mapping[str, str] = {"ge": "minimum", "gt": "exclusiveMinimum", "le": "maximum", "lt": "exclusiveMaximum"}
_MAPS = ("properties", "patternProperties", "$defs")
_LISTS = ("anyOf", "oneOf", "allOf", "prefixItems")
_SINGLE = ("items", "additionalProperties", "not")
_PREFIX = "#/components/schemas/"


def _member(schema: Any) -> Any:
    # openapi-typescript asks for every member of a body that has a default. One that may be left out says so itself.
    return {k: v for k, v in tidy(schema).items() if k != "default"} if isinstance(schema, dict) else schema


def tidy(schema: Any) -> Any:
    """`schema` without titles made of member names (generators would name types after them), in standard keywords."""
    if not isinstance(schema, dict):
        return schema
    tidied: dict[str, Any] = {}
    for key, value in schema.items():
        if key in _MAPS:
            tidied[key] = {name: _member(member) for name, member in value.items()}
        elif key in _LISTS:
            tidied[key] = [tidy(member) for member in value]
        elif key in _SINGLE:
            tidied[key] = tidy(value)
        elif key != "title":
            keyword: str = _KEYWORDS.get(key, key)
            tidied[keyword] = value
    return tidied


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """`schema` without null: a query has none, and a body that may be left out is left out."""
    present = [member for member in schema.get("anyOf", []) if member != {"type": "null"}]
    if len(present) != 1:
        return schema
    return {**{key: value for key, value in schema.items() if key != "anyOf"}, **present[0]}


def tidy_operation(operation: dict[str, Any]) -> None:
    """The same for every schema of an operation."""
    for parameter in operation.get("parameters", []):
        parameter["schema"] = _without_null(tidy(parameter.get("schema", {})))
    body = operation.get("requestBody", {})
    for part in (body, *operation.get("responses", {}).values()):
        for content in part.get("content", {}).values():
            if "schema" in content:
                schema = tidy(content["schema"])
                content["schema"] = _without_null(schema) if part is body else schema


def example_of(schema: Mapping[str, Any], schemas: Schemas) -> Any:
    """A value that `schema` allows, made of the examples that it and its members carry."""
    if "examples" in schema:
        return schema["examples"][0]
    if "$ref" in schema:
        return example_of(schemas[schema["$ref"].removeprefix(_PREFIX)], schemas)
    for keyword in ("anyOf", "oneOf", "allOf"):
        if keyword in schema:
            return example_of(schema[keyword][0], schemas)
    if "const" in schema:
        return schema["const"]
    if "enum" in schema:
        return schema["enum"][0]
    if "properties" in schema:
        return {name: example_of(member, schemas) for name, member in schema["properties"].items()}
    if "default" in schema:
        return schema["default"]
    return _PLAIN[schema.get("type", "object")](schema, schemas)


_PLAIN: Mapping[str, Any] = {
    "array": lambda schema, schemas: [example_of(schema["items"], schemas)],
    "object": lambda _schema, _schemas: {},
    "string": lambda _schema, _schemas: "text",
    "integer": lambda schema, _schemas: schema.get("minimum", 1),
    "number": lambda schema, _schemas: schema.get("minimum", 1.0),
    "boolean": lambda _schema, _schemas: True,
    "null": lambda _schema, _schemas: None,
}


def add_examples(operation: dict[str, Any], schemas: Schemas) -> None:
    """Give the body of the request and of each success an example, where a service has given none."""
    successes = [answer for status, answer in operation.get("responses", {}).items() if status < "300"]
    for part in (operation.get("requestBody", {}), *successes):
        content = part.get("content", {}).get("application/json", {})
        if content.get("schema") and not content.keys() & {"example", "examples"}:
            content["example"] = example_of(content["schema"], schemas)
