"""docs/mission.http, sent request by request."""

import re
from collections.abc import Mapping
from pathlib import Path

import httpx
from http_file import Runner, parse
from suite_client import environment, until

COLLECTION = Path(__file__).parents[2] / "docs" / "mission.http"


def reset_token(email: str) -> str:
    """What the person copies out of the mail that has come for `email`."""
    with httpx.Client(base_url=environment("STACK_MAIL_API_URL"), trust_env=False) as mails:

        def token() -> str | None:
            messages = mails.get("/api/v1/messages").json()["messages"]
            mine = [mail["ID"] for mail in messages if any(to["Address"] == email for to in mail["To"])]
            found = mine and re.search(r"token=(\S+)", mails.get(f"/api/v1/message/{mine[0]}").json()["Text"])
            return found[1] if found else None

        return str(until(token, 20, "the mail"))


def ask(prompt: str, answers: Mapping[str, httpx.Response]) -> str:
    """What a person would type."""
    if prompt == "adminPassword":
        return environment("ADMIN_PASSWORD")
    assert prompt == "resetToken"
    return reset_token(answers["registered"].json()["email"])


def test_every_request_answers_what_it_says(genres: dict[str, int]) -> None:
    assert genres, "the catalog is filled"
    variables, steps = parse(COLLECTION.read_text())
    assert len(steps) > 30
    assert variables["host"] == "http://localhost:8080"
    variables |= {
        "host": environment("STACK_GATEWAY_URL"),
        "mails": environment("STACK_MAIL_API_URL"),
        "adminEmail": environment("ADMIN_EMAIL"),
    }
    with httpx.Client(timeout=30, trust_env=False) as http:
        runner = Runner(http, variables, ask)
        for step in steps:
            answer = runner.send(step)
            assert answer.status_code == step.status, (step.title, answer.status_code, answer.text)
    assert answer.request.url.path == "/v1/auth/logout"


def test_the_collection_shows_every_part_of_the_mission() -> None:
    text = COLLECTION.read_text()
    for path in (
        "POST {{host}}/v1/users", "/v1/auth/login", "/v1/auth/password/reset", "POST {{host}}/v1/packages",
        "POST {{host}}/v1/subscriptions", "GET {{host}}/v1/movies?", "PUT {{host}}/v1/watched/",
        "DELETE {{host}}/v1/watched/", "GET {{host}}/v1/reports/me", "GET {{host}}/v1/sync",
    ):  # fmt: skip
        assert path in text, path
