"""A client of the running suite for end-to-end tests: everything goes through the gateway, as for anybody."""

import os
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import httpx

PASSWORD = "correct horse battery staple"
TOKEN_USED_SECONDS = 300.0


def environment(name: str) -> str:
    """A variable that the runner of the test stack sets."""
    value = os.environ.get(name)
    if not value:
        raise RuntimeError(f"{name} is not set: run the tests through 'make test'")
    return value


def unique(prefix: str) -> str:
    """A name nobody else uses in this run."""
    return f"{prefix}-{secrets.token_hex(5)}"


def until(condition: Callable[[], Any], seconds: float, what: str = "the condition") -> Any:
    """The first true value of `condition`; fails when there is none within `seconds`."""
    deadline = time.monotonic() + seconds
    while not (value := condition()):
        assert time.monotonic() < deadline, f"{what}: not within {seconds} s"
        time.sleep(0.05)
    return value


@dataclass
class Person:
    """Somebody with an account: sends requests with their access token."""

    http: httpx.Client
    id: str
    email: str
    password: str
    tokens: dict[str, Any] = field(default_factory=dict)
    logged_in_at: float = 0.0

    def log_in(self) -> "Person":
        answer = self.http.post("/v1/auth/login", json={"email": self.email, "password": self.password})
        assert answer.status_code == 200, answer.text
        self.tokens = answer.json()
        self.logged_in_at = time.monotonic()
        return self

    @property
    def headers(self) -> dict[str, str]:
        # A whole run takes longer than an access token lives.
        if self.tokens and time.monotonic() - self.logged_in_at > TOKEN_USED_SECONDS:
            self.log_in()
        return {"Authorization": f"Bearer {self.tokens['accessToken']}"}

    def request(self, method: str, path: str, **options: Any) -> httpx.Response:
        options["headers"] = {**self.headers, **options.get("headers", {})}
        return self.http.request(method, path, **options)

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.request("GET", path, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> httpx.Response:
        return self.request("POST", path, json=body, **options)

    def put(self, path: str, body: Any = None, **options: Any) -> httpx.Response:
        return self.request("PUT", path, json=body, **options)

    def patch(self, path: str, body: Any, **options: Any) -> httpx.Response:
        return self.request("PATCH", path, json=body, **options)

    def delete(self, path: str, **options: Any) -> httpx.Response:
        return self.request("DELETE", path, **options)


def register(http: httpx.Client, name: str = "Somebody") -> Person:
    """A new person, logged in."""
    email = f"{unique('person')}@example.com"
    answer = http.post("/v1/users", json={"email": email, "password": PASSWORD, "name": name})
    assert answer.status_code == 201, answer.text
    return Person(http, answer.json()["id"], email, PASSWORD).log_in()


def assert_problem(answer: httpx.Response, status: int, code: str | None = None) -> dict[str, Any]:
    """Check that `answer` is a problem document with every member that the contract asks for."""
    assert answer.status_code == status, (answer.status_code, answer.text)
    assert answer.headers["content-type"].split(";")[0] == "application/problem+json"
    document: dict[str, Any] = answer.json()
    assert {"type", "title", "status", "detail", "instance", "code", "requestId"} <= document.keys()
    assert document["status"] == status
    assert document["requestId"] == answer.headers["x-request-id"]
    if code is not None:
        assert document["code"] == code, document
    if status == 401:
        assert answer.headers["www-authenticate"].startswith("Bearer")
    if status == 422:
        assert all({"pointer", "message"} <= set(error) for error in document["errors"])
    return document
