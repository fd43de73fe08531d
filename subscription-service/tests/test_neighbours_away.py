"""What happens when catalog-service or identity-service cannot be asked, or answers nonsense."""

from typing import Any

import pytest
from starlette.responses import JSONResponse, PlainTextResponse, Response

from chassis.ids import new_id
from chassis.testing.http import assert_problem

FAILURES = {
    "unavailable": Response(status_code=503),
    "broken": Response(status_code=500),
    "refusing": JSONResponse({}, status_code=403),
    "throttling": JSONResponse({}, status_code=429),
    "not JSON": PlainTextResponse("<html>"),
    "another shape": JSONResponse({"data": [{"id": "28"}], "users": [{"id": 7}]}),
    "an unknown state": JSONResponse({"data": [{"id": 28, "name": "Action", "status": "odd"}], "users": 7}),
}


@pytest.mark.parametrize("failure", FAILURES.values(), ids=FAILURES.keys())
async def test_nothing_is_stored_unchecked(api: Any, admin: Any, neighbours: Any, failure: Response) -> None:
    package = (await api.new_package(35)).json()
    path = f"/v1/packages/{package['id']}"
    name = f"Package {new_id()}"
    neighbours.failure = failure
    answers = [
        await admin("POST", "/v1/packages", {"name": name, "genreIds": [28]}),
        await admin("PATCH", path, {"genreIds": [28]}, if_match="*"),
        await admin("PATCH", f"{path}?dryRun=true", {"genreIds": [28]}, if_match="*"),
        await admin("POST", f"{path}/subscriptions", {"userIds": [new_id()]}),
    ]
    for answer in answers:
        assert_problem(answer, 503, "dependency-unavailable")
        assert int(answer.headers["retry-after"]) > 0
    neighbours.failure = None
    assert (await admin("GET", path)).json() == package
    assert (await admin("GET", f"/v1/packages?name={name}")).json()["data"] == []
    assert (await admin("GET", f"/v1/subscriptions?packageId={package['id']}")).json()["data"] == []


async def test_a_passing_failure_is_tried_again(api: Any, admin: Any, neighbours: Any) -> None:
    failing = neighbours.list_genres
    count = 0

    async def flaky(request: Any) -> Response:
        nonlocal count
        count += 1
        return Response(status_code=503) if count < 3 else await failing(request)

    neighbours.answer_genres = flaky
    answer = await admin("POST", "/v1/packages", {"name": f"Package {new_id()}", "genreIds": [28]})
    assert (answer.status_code, count) == (201, 3)


async def test_everything_else_goes_on_while_the_neighbours_are_away(api: Any, user: Any, neighbours: Any) -> None:
    package = (await api.new_package(28)).json()
    neighbours.failure = Response(status_code=503)
    subscription = await user.subscribe(package["id"])
    assert (await api.edit(package["id"], {"description": "x", "applyToSubscribers": True})).status_code == 200
    assert await user.genre_ids() == [28]
    assert (await user("DELETE", f"/v1/subscriptions/{subscription['id']}")).status_code == 204
