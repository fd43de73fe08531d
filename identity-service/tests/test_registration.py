"""POST /v1/users."""

import uuid
from collections.abc import Callable

import httpx

PASSWORD = "a bicycle for two fish"


async def test_registering_shows_the_user_and_where_to_read_it(
    api: httpx.AsyncClient, new_email: Callable[[], str]
) -> None:
    email = new_email()
    answer = await api.post("/v1/users", json={"email": email, "password": PASSWORD, "name": "Ann"})
    assert answer.status_code == 201
    user = answer.json()
    assert set(user) == {"id", "email", "name", "role", "status", "createdAt", "updatedAt"}
    assert (user["email"], user["name"], user["role"], user["status"]) == (email, "Ann", "user", "active")
    assert uuid.UUID(user["id"]).version == 7
    assert user["createdAt"].endswith("Z")
    assert user["createdAt"] == user["updatedAt"]
    assert answer.headers["location"] == f"/v1/users/{user['id']}"
    assert answer.headers["cache-control"] == "private, no-store"
