"""Response headers of the public document: what a client finds beside the body, said once for all services."""

from collections.abc import Iterator, Mapping
from typing import Any

_TEXT: Mapping[str, Any] = {"type": "string"}
_COUNT: Mapping[str, Any] = {"type": "integer", "minimum": 0}

# By the name of the component, in the order in which an answer lists them.
_DESCRIBED: Mapping[str, tuple[str, str, Mapping[str, Any]]] = {
    "XRequestId": ("X-Request-Id", "Id of this request, for support.", _TEXT),
    "ETag": ("ETag", "Strong entity tag of what is shown; `If-None-Match` and `If-Match` take it.", _TEXT),
    "Location": ("Location", "Where that which was made is to be read.", _TEXT),
    "Link": ("Link", "The neighbouring pages of a list (RFC 8288): `first`, `last`, `prev`, `next`.", _TEXT),
    "XTotalCount": ("X-Total-Count", "How many items the whole list has.", _COUNT),
    "IdempotencyReplayed": (
        "Idempotency-Replayed",
        "`true` when this is the answer that the same `Idempotency-Key` got before.",
        {"type": "string", "enum": ["true"]},
    ),
    "WWWAuthenticate": ("WWW-Authenticate", "The scheme that is asked for: `Bearer`.", _TEXT),
    "RetryAfter": ("Retry-After", "Seconds to wait.", {"type": "integer", "minimum": 1}),
    "RateLimit": ("RateLimit", 'What is left: `"user";r=999;t=1` is 999 requests, one second to a full bucket.', _TEXT),
    "RateLimitPolicy": ("RateLimit-Policy", 'The limit: `"user";q=1000;w=5` is 1000 requests in 5 seconds.', _TEXT),
}

HEADER_COMPONENTS: Mapping[tuple[str, str], Any] = {
    ("headers", component): {"description": text, "schema": dict(schema)}
    for component, (_, text, schema) in _DESCRIBED.items()
}


def _is_list(response: Mapping[str, Any]) -> bool:
    schema = response.get("content", {}).get("application/json", {}).get("schema", {})
    return str(schema.get("$ref", "")).endswith("Page")


def _names(status: str, operation: Mapping[str, Any]) -> Iterator[str]:
    responses = operation.get("responses", {})
    is_success = status < "300"
    yield "XRequestId"
    if status in ("200", "304") and "304" in responses:
        yield "ETag"
    if status == "201":
        yield "Location"
    if status in ("200", "304") and _is_list(responses.get("200", {})):
        yield from ("Link", "XTotalCount")
    if is_success and "Idempotency-Key" in {parameter["name"] for parameter in operation.get("parameters", [])}:
        yield "IdempotencyReplayed"
    if status == "401":
        yield "WWWAuthenticate"
    if status in ("429", "503"):
        yield "RetryAfter"
    if is_success or status == "429":
        yield from ("RateLimit", "RateLimitPolicy")


def describe_headers(response: dict[str, Any], status: str, operation: Mapping[str, Any]) -> None:
    """Add to `response` the headers that an answer with `status` to `operation` can carry; the service's own stay."""
    headers = response.setdefault("headers", {})
    for component in _names(status, operation):
        headers.setdefault(_DESCRIBED[component][0], {"$ref": f"#/components/headers/{component}"})
