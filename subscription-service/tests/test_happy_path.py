"""The way of one package from its making to the end of a subscription."""

from typing import Any


async def test_a_package_is_made_subscribed_edited_upgraded_and_cancelled(api: Any, user: Any, events: Any) -> None:
    made = await api.new_package(28, 35, name="  Été indien ")
    package = made.json()
    assert made.headers["location"] == f"/v1/packages/{package['id']}"
    assert package["name"] == "Été indien"
    assert package["genres"] == [
        {"id": 28, "name": "Action", "status": "active"},
        {"id": 35, "name": "Comedy", "status": "active"},
    ]
    assert (package["version"], package["status"], package["description"]) == (1, "active", None)

    assert await user.genre_ids() == []
    subscription = await user.subscribe(package["id"])
    assert subscription["package"] == {"id": package["id"], "name": "Été indien"}
    assert subscription["genres"] == [{"id": 28, "name": "Action"}, {"id": 35, "name": "Comedy"}]
    assert await user.genre_ids() == [28, 35]

    edited = await api.edit(package["id"], {"genreIds": [28, 18]})
    assert (edited.status_code, edited.json()["version"]) == (200, 2)
    assert await user.genre_ids() == [28, 35]

    upgraded = await user("POST", f"/v1/subscriptions/{subscription['id']}/upgrade")
    assert (upgraded.status_code, upgraded.json()["packageVersion"]) == (200, 2)
    assert await user.genre_ids() == [18, 28]

    moved = await api.edit(package["id"], {"genreIds": [27], "applyToSubscribers": True})
    assert moved.json()["version"] == 3
    assert await user.genre_ids() == [27]

    assert (await user("DELETE", f"/v1/subscriptions/{subscription['id']}")).status_code == 204
    assert await user.genre_ids() == []
    found = await events.of_user(user.user_id)
    assert [event["revision"] for event in found] == [1, 2, 3, 4]
    assert [[grant["genreIds"] for grant in event["grants"]] for event in found] == [[[28, 35]], [[18, 28]], [[27]], []]
