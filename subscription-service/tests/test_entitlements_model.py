"""Random sequences of everything that can happen, against a small model of what a subscriber may see."""

import os
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from chassis.clock import to_rfc3339
from chassis.ids import new_id

# About a second each; a longer run is worth it after a change of the rules.
EXAMPLES = int(os.environ.get("MODEL_EXAMPLES", "15"))
USERS = 3
GENRES = (28, 35, 18, 27)
HOUR = timedelta(hours=1)

genre_sets = st.sets(st.sampled_from(GENRES), min_size=1).map(sorted)
index = st.integers(0, 7)
step = st.one_of(
    st.tuples(st.just("create"), genre_sets),
    st.tuples(st.just("edit"), index, genre_sets, st.booleans()),
    st.tuples(st.just("apply"), index),
    st.tuples(st.just("archive"), index),
    st.tuples(st.just("restore"), index),
    # Hours until it expires; time passes in whole hours, so that no two of them ever fall together.
    st.tuples(st.just("subscribe"), index, index, st.one_of(st.none(), st.integers(0, 3).map(lambda n: n + 0.5))),
    st.tuples(st.just("bulk"), index),
    st.tuples(st.just("upgrade"), index),
    st.tuples(st.just("cancel"), index),
    st.tuples(st.just("wait"), st.integers(1, 3)),
    st.tuples(st.just("mark expired")),
    st.tuples(st.just("delete user"), index),
)


@dataclass
class ModelPackage:
    id: str
    versions: list[set[int]]
    is_archived: bool = False


@dataclass
class ModelSubscription:
    id: str
    user: int
    package: ModelPackage
    version: int
    ends_at: float | None
    is_cancelled: bool = False


@dataclass
class Model:
    """What should be. Hours count from the beginning of the sequence."""

    hour: float = 0
    packages: list[ModelPackage] = field(default_factory=list)
    subscriptions: list[ModelSubscription] = field(default_factory=list)
    deleted: set[int] = field(default_factory=set)

    def is_active(self, one: ModelSubscription) -> bool:
        return not one.is_cancelled and (one.ends_at is None or one.ends_at > self.hour)

    def of(self, user: int) -> list[ModelSubscription]:
        return [one for one in self.subscriptions if one.user == user and self.is_active(one)]

    def holds(self, user: int, package: ModelPackage) -> bool:
        return any(one.package is package for one in self.of(user))

    def genres(self, user: int) -> set[int]:
        return {genre for one in self.of(user) for genre in one.package.versions[one.version - 1]}


class Walk:
    """Does each step to the service and to the model, and expects the answer that the model gives."""

    def __init__(self, api: Any, resources: Any, clock: Any) -> None:
        self.api = api
        self.resources = resources
        self.clock = clock
        self.model = Model()
        self.users = [api.user() for _ in range(USERS)]
        self.admin = api.admin()

    async def take(self, step: tuple[Any, ...]) -> None:
        name, *arguments = step
        await getattr(self, name.replace(" ", "_"))(*arguments)

    def package(self, index: int) -> ModelPackage | None:
        packages = self.model.packages
        return packages[index % len(packages)] if packages else None

    def subscription(self, index: int) -> ModelSubscription | None:
        known = self.model.subscriptions
        return known[index % len(known)] if known else None

    async def create(self, genres: list[int]) -> None:
        made = (await self.api.new_package(*genres)).json()
        self.model.packages.append(ModelPackage(made["id"], [set(genres)]))

    async def edit(self, index: int, genres: list[int], apply: bool) -> None:
        if (package := self.package(index)) is None:
            return
        body = {"genreIds": genres, "applyToSubscribers": apply}
        answer = await self.admin("PATCH", f"/v1/packages/{package.id}", body, if_match="*")
        assert answer.status_code == (409 if package.is_archived else 200)
        if not package.is_archived:
            if set(genres) != package.versions[-1]:
                package.versions.append(set(genres))
            assert answer.json()["version"] == len(package.versions)
            self.moved(package, apply)

    async def apply(self, index: int) -> None:
        if (package := self.package(index)) is None:
            return
        body = {"applyToSubscribers": True}
        await self.admin("PATCH", f"/v1/packages/{package.id}", body, if_match="*")
        self.moved(package, not package.is_archived)

    def moved(self, package: ModelPackage, apply: bool) -> None:
        for one in self.model.subscriptions:
            if apply and one.package is package and self.model.is_active(one):
                one.version = len(package.versions)

    async def archive(self, index: int) -> None:
        if (package := self.package(index)) is not None:
            answer = await self.admin("DELETE", f"/v1/packages/{package.id}", if_match="*")
            assert answer.status_code == 204
            package.is_archived = True

    async def restore(self, index: int) -> None:
        if (package := self.package(index)) is not None:
            answer = await self.admin("POST", f"/v1/packages/{package.id}/restore")
            assert answer.status_code == 200
            package.is_archived = False

    async def subscribe(self, user: int, index: int, hours: float | None) -> None:
        user %= USERS
        if (package := self.package(index)) is None:
            return
        ends_at = None if hours is None else self.model.hour + hours
        expiry = None if ends_at is None else to_rfc3339(datetime.now(UTC) + ends_at * HOUR)
        body = {"packageId": package.id, "expiresAt": expiry}
        answer = await self.users[user]("POST", "/v1/subscriptions", body)
        if package.is_archived or self.model.holds(user, package):
            assert answer.status_code == 409 or user in self.model.deleted
        elif user in self.model.deleted:
            assert answer.status_code == 403
        else:
            assert answer.status_code == 201, answer.text
            self.subscribed(user, package, answer.json()["id"], ends_at)

    def subscribed(self, user: int, package: ModelPackage, subscription_id: str, ends_at: float | None) -> None:
        self.model.subscriptions.append(
            ModelSubscription(subscription_id, user, package, len(package.versions), ends_at)
        )

    async def bulk(self, index: int) -> None:
        if (package := self.package(index)) is None:
            return
        there = [n for n in range(USERS) if n not in self.model.deleted]
        body = {"userIds": [self.users[n].user_id for n in there] or [new_id()]}
        answer = await self.admin("POST", f"/v1/packages/{package.id}/subscriptions", body)
        if package.is_archived:
            assert answer.status_code == 409
            return
        new = [n for n in there if not self.model.holds(n, package)]
        assert answer.json()["created"] == (len(new) if there else 1)
        for user in new:
            path = f"/v1/subscriptions?status=active&packageId={package.id}"
            (one,) = (await self.users[user]("GET", path)).json()["data"]
            self.subscribed(user, package, one["id"], None)

    async def upgrade(self, index: int) -> None:
        if (one := self.subscription(index)) is None:
            return
        answer = await self.users[one.user]("POST", f"/v1/subscriptions/{one.id}/upgrade")
        if one.user in self.model.deleted:
            assert answer.status_code == 404
        elif not self.model.is_active(one):
            assert answer.status_code == 409
        else:
            one.version = len(one.package.versions)
            assert answer.json()["packageVersion"] == one.version

    async def cancel(self, index: int) -> None:
        if (one := self.subscription(index)) is None:
            return
        answer = await self.users[one.user]("DELETE", f"/v1/subscriptions/{one.id}")
        assert answer.status_code == (404 if one.user in self.model.deleted else 204)
        if self.model.is_active(one):
            one.is_cancelled = True

    async def wait(self, hours: int) -> None:
        self.model.hour += hours
        self.clock.ahead = self.model.hour * HOUR

    async def mark_expired(self) -> None:
        while await self.resources.subscriptions.mark_expired(100):
            pass

    async def delete_user(self, user: int) -> None:
        user %= USERS
        await self.resources.users.forget(self.users[user].user_id)
        self.model.deleted.add(user)
        for one in self.model.subscriptions:
            if one.user == user:
                one.is_cancelled = True


@given(steps=st.lists(step, min_size=5, max_size=30))
@settings(
    max_examples=EXAMPLES,
)
async def test_entitlements_are_those_of_the_model_after_every_step(
    api: Any, resources: Any, clock: Any, events: Any, steps: list[tuple[Any, ...]]
) -> None:
    clock.ahead = timedelta()
    walk = Walk(api, resources, clock)
    seen: list[dict[str, Any]] = [await user.entitlements() for user in walk.users]
    for taken in [("create", [28, 35]), *steps]:
        await walk.take(taken)
        for number, user in enumerate(walk.users):
            now, before = await user.entitlements(), seen[number]
            assert {genre["id"] for genre in now["genres"]} == walk.model.genres(number), taken
            assert now["revision"] - before["revision"] in (0, 1), taken
            if taken[0] != "wait" and now["grants"] != before["grants"]:
                assert now["revision"] == before["revision"] + 1, taken
            if now["grants"] == before["grants"] and taken[0] != "delete user":
                assert now["revision"] == before["revision"], taken
            seen[number] = now
    for user, last in zip(walk.users, seen, strict=True):
        told = await events.of_user(user.user_id)
        assert [event["revision"] for event in told] == list(range(1, last["revision"] + 1))
        if told:
            live = [grant["subscriptionId"] for grant in last["grants"]]
            assert [grant["subscriptionId"] for grant in told[-1]["grants"] if grant["subscriptionId"] in live] == live
