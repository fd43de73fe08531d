"""Whether an answer is one that the API's document speaks of: its status, the code of its problem, its headers."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import httpx

PROBLEM = "application/problem+json"
# What a client reads beside the body; the rest is for caches and browsers.
TOLD = {
    "etag", "idempotency-replayed", "link", "location", "ratelimit", "ratelimit-policy", "retry-after",
    "www-authenticate", "x-request-id", "x-total-count",
}  # fmt: skip
# Limits are told with every answer, and described where they matter: with successes and with a refusal for a limit.
_WITH_ANY_STATUS = {"ratelimit", "ratelimit-policy"}

NEXT_STEP = re.compile(
    r"(?:^|[.;:,] |\bor )(?:ask|check|choose|correct|cancel|go on|leave|list|log in|look|make|mark|read|register|"
    r"repeat|restore|send|subscribe|try|use|wait)\b",
    re.IGNORECASE,
)


class Documented:
    """Compares answers with a document."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._document = document
        # Plain paths first: `/v1/users/me` is no `/v1/users/{id}`.
        templates = sorted(document["paths"], key=lambda template: template.count("{"))
        self._paths = [(re.compile(re.sub(r"\{\w+\}", "[^/]+", template)), template) for template in templates]

    def resolved(self, response: Mapping[str, Any]) -> Mapping[str, Any]:
        """A response, also when the document only refers to it."""
        if "$ref" not in response:
            return response
        found: Mapping[str, Any] = self._document["components"]["responses"][response["$ref"].rpartition("/")[2]]
        return found

    def operation(self, method: str, path: str) -> Mapping[str, Any] | None:
        """The operation that a request asks for; None for one that is none of the API's."""
        for pattern, template in self._paths:
            if pattern.fullmatch(path):
                found: Mapping[str, Any] | None = self._document["paths"][template].get(method.lower())
                return found
        return None

    def complaints(self, answer: httpx.Response) -> Iterator[str]:
        """What of `answer` the document does not say, and a `detail` that does not say what to do next."""
        method = "GET" if answer.request.method == "HEAD" else answer.request.method
        operation = self.operation(method, answer.request.url.path)
        problem = {}
        if answer.headers.get("content-type") == PROBLEM and answer.request.method != "HEAD":
            problem = answer.json()
            if not NEXT_STEP.search(problem["detail"]):
                yield f"says not what to do next: {problem['detail']}"
        if operation is None:
            return
        response = operation["responses"].get(str(answer.status_code))
        if response is None:
            yield f"{answer.status_code} is not documented"
            return
        response = self.resolved(response)
        if problem and problem["code"] not in response["content"][PROBLEM]["examples"]:
            yield f"{problem['code']} is not documented"
        described = {name.lower() for name in response.get("headers", {})} | _WITH_ANY_STATUS
        undescribed = {name.lower() for name in answer.headers} & TOLD - described
        if undescribed and operation["tags"] != ["gateway"]:
            yield f"headers {sorted(undescribed)} are not documented"

    def check(self, answer: httpx.Response) -> None:
        """An event hook for a client: fails when there is something to complain of."""
        answer.read()
        complaints = list(self.complaints(answer))
        assert not complaints, f"{answer.request.method} {answer.request.url.path}: {'; '.join(complaints)}"
