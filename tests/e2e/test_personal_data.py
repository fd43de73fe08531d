"""What the suite knows of a person, for that person."""

import httpx
from suite_client import register


def test_one_downloads_all_that_is_stored_about_oneself(http: httpx.Client) -> None:
    person, other = register(http), register(http)

    answer = person.get("/v1/users/me/export")

    assert answer.status_code == 200
    assert answer.headers["content-disposition"] == f'attachment; filename="user-{person.id}.json"'
    assert answer.headers["cache-control"] == "private, no-store"
    exported = answer.json()
    assert exported["user"]["email"] == person.email
    assert len(exported["sessions"]) == 1
    assert {"register", "login", "user-export"} <= {entry["action"] for entry in exported["history"]}
    assert other.email not in answer.text
    assert person.password not in answer.text
