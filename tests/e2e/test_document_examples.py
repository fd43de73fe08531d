"""Every request that the API's document shows as an example is one that the running suite takes."""

from typing import Any

import httpx
from suite_client import Person, register

NOT_UNDERSTOOD = {"invalid-request", "malformed-request", "malformed-json", "unsupported-media-type"}


def an_administrator(http: httpx.Client, admin: Person) -> Person:
    """Another administrator, who may be logged out and erased."""
    person = register(http, "Tester")
    assert admin.patch(f"/v1/users/{person.id}", {"role": "admin"}).status_code == 200
    return person.log_in()


def address(path: str, operation: dict[str, Any]) -> str:
    for parameter in operation.get("parameters", []):
        if parameter["in"] == "path":
            schema = parameter["schema"]
            value = schema["examples"][0] if "examples" in schema else schema["minimum"]
            path = path.replace(f"{{{parameter['name']}}}", str(value))
    return path


def test_the_suite_takes_every_example(http: httpx.Client, admin: Person) -> None:
    person = an_administrator(http, admin)
    document = http.get("/openapi.json").json()
    sent = 0
    for path, item in document["paths"].items():
        for method, operation in item.items():
            body = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("example")
            answer = person.request(method.upper(), address(path, operation), json=body)
            # An example's ids and passwords are nobody's, so that refusals are right; not being understood is not.
            assert str(answer.status_code) in operation["responses"], (method, path, answer.text)
            if answer.status_code >= 400:
                assert answer.json()["code"] not in NOT_UNDERSTOOD, (method, path, body, answer.text)
            sent += 1
            if answer.status_code == 204:  # it may have ended the session or the account
                person = an_administrator(http, admin)
    assert sent > 45
