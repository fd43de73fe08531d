"""The merged API document, and requests generated from it: none may make the suite fail."""

import json
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from suite_client import Person, environment, register

# Ending one's own session or account would leave the generator without a token.
ENDS_THE_RUN = [
    ("POST", "/v1/auth/logout"),
    ("DELETE", "/v1/auth/sessions"),
    ("DELETE", "/v1/users/me"),
    ("DELETE", "/v1/users/{"),
    ("PATCH", "/v1/users/me"),
    ("PATCH", "/v1/users/{"),
    ("PUT", "/v1/users/me/password"),
]
# Whether an answer is one that the document speaks of: its status, its content type, its headers, its body.
CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
]
EVERYTHING = {
    "/v1/users",
    "/v1/users/me",
    "/v1/users/{id}",
    "/v1/users/me/export",
    "/v1/users/me/password",
    "/v1/auth/login",
    "/v1/auth/refresh",
    "/v1/auth/logout",
    "/v1/auth/sessions",
    "/v1/auth/sessions/{id}",
    "/v1/auth/password/forgot",
    "/v1/auth/password/reset",
    "/v1/packages",
    "/v1/packages/{id}",
    "/v1/packages/{id}/restore",
    "/v1/packages/{id}/versions",
    "/v1/packages/{id}/versions/{n}",
    "/v1/packages/{id}/subscriptions",
    "/v1/subscriptions",
    "/v1/subscriptions/{id}",
    "/v1/subscriptions/{id}/upgrade",
    "/v1/entitlements/me",
    "/v1/genres",
    "/v1/genres/{id}",
    "/v1/sync",
    "/v1/movies",
    "/v1/movies/{id}",
    "/v1/watched",
    "/v1/watched/{movieId}",
    "/v1/reports/me",
    "/v1/reports/users",
    "/v1/reports/users/{userId}",
    "/.well-known/jwks.json",
}


def shape(path: str) -> str:
    """A path template without the names of its parameters."""
    return "/".join("{}" if part.startswith("{") else part for part in path.split("/"))


def test_the_document_is_whole(http: httpx.Client) -> None:
    document = http.get("/openapi.json").json()
    assert {shape(path) for path in EVERYTHING} <= {shape(path) for path in document["paths"]}
    assert "TMDB" in document["info"]["description"]
    ids = [operation["operationId"] for item in document["paths"].values() for operation in item.values()]
    assert len(ids) == len(set(ids))
    assert not any("/internal" in path for path in document["paths"])


def test_the_docs_page_needs_nothing_from_the_internet(http: httpx.Client) -> None:
    page = http.get("/docs")
    assert page.status_code == 200
    assert "https://" not in page.text.replace("https://www.themoviedb.org", "")


@pytest.mark.timeout(240)
def test_generated_requests_find_no_failure(http: httpx.Client, admin: Person, tmp_path: Path) -> None:
    tester = register(http, "Generator")
    assert admin.patch(f"/v1/users/{tester.id}", {"role": "admin"}).status_code == 200
    tester.log_in()
    document = http.get("/openapi.json").json()
    for method, beginning in ENDS_THE_RUN:
        for path, item in document["paths"].items():
            if path.startswith(beginning) and ("{" in beginning or path == beginning):
                item.pop(method.lower(), None)
    document["paths"] = {path: item for path, item in document["paths"].items() if item}
    file = tmp_path / "openapi.json"
    file.write_text(json.dumps(document))
    outcome = subprocess.run(
        [
            str(Path(sys.executable).with_name("schemathesis")),
            "run",
            str(file),
            "--url",
            environment("STACK_GATEWAY_URL"),
            "--header",
            f"Authorization: Bearer {tester.tokens['accessToken']}",
            "--checks",
            ",".join(CHECKS),
            "--phases",
            "examples,coverage,fuzzing",
            "--max-examples",
            "12",
            "--max-time",
            "75",
            "--warnings",
            "off",
            "--suppress-health-check",
            "all",
            "--continue-on-failure",
        ],
        capture_output=True,
        text=True,
        timeout=230,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stdout[-6000:]
