"""Processes of this version and of the previous one, each on the other's schema, and one in the other's place."""

import os
import re
import subprocess
import sys
import uuid
from typing import Any

import httpx
import pytest
from lab.processes import Program
from suite_client import Person, register, unique, until
from tests.upgrade.deployment import SERVICES, Deployment, deployment
from tests.upgrade.previous import CURRENT, ROOT, Version
from tests.upgrade.visitors import Balancer, Visitors

# Two dozen processes start, one after another in part.
pytestmark = pytest.mark.timeout(400)

_TYPES = ("api", "worker")


def test_on_the_schema_of_the_previous_version_a_process_is_not_ready_until_it_is_migrated(previous: Version) -> None:
    with deployment(with_helpers=False) as suite:
        suite.migrate(previous)
        versions = {service: suite.schema_version(service) for service in SERVICES}
        described = {service: suite.description(service) for service in SERVICES}
        programs = suite.start(CURRENT, (name for service in SERVICES for name in _of(service)))
        outdated = {program.name for program in programs if _finds_schema_outdated(program)}
        for program in programs:
            # They stay as they are: not ready, with the reason, and alive to become ready.
            assert _finds_schema_outdated(program) == (program.name in outdated)
        waiting = {name.rpartition("-")[0] for name in outdated}
        for service in waiting:
            assert suite.description(service) == described[service]

        suite.migrate(CURRENT)
        changed = {service for service in SERVICES if suite.schema_version(service) != versions[service]}
        assert outdated == {name for service in changed for name in _of(service)}
        for program in programs:
            program.wait_ready()
            assert program.starts == 1


def _finds_schema_outdated(program: Program) -> bool:
    def answer() -> str | None:
        assert program.is_running, program.tail()
        try:
            checks = program.readiness()
        except httpx.TransportError:
            return None
        reasons = " ".join(checks.values())
        return reasons if program.is_ready or re.search("Schema", reasons) else None

    return "Schema" in str(until(answer, 90, f"{program.name} to make up its mind"))


def test_the_previous_version_works_on_the_new_schema_and_hands_over_without_a_failed_request(
    previous: Version,
) -> None:
    with deployment(with_helpers=True) as suite:
        suite.migrate(CURRENT)
        for program in suite.start(previous, _processes()):
            program.wait_ready()
        _walk_the_mission(suite)
        with httpx.Client(
            base_url="http://127.0.0.1", transport=Balancer(suite, ("gateway", "gateway-2")), timeout=30
        ) as http:
            admin = _administrator(suite, http)
            genres = [genre["id"] for genre in admin.get("/v1/genres?pageSize=100").json()["data"]]
            visitors = Visitors(admin, genres)
            written = _Written(visitors, admin, genres)
            for program in suite.start(CURRENT, [f"{name}-2" for name in _processes()]):
                program.wait_ready()
            with visitors:
                visitors.wait_rounds()
                # Whoever asks another service leaves before it: addresses of processes that have gone are for this
                # version to cope with, the previous one is past mending.
                for leaving in (["gateway"], *(_of(service) for service in ("watch", "catalog", *SERVICES[:2]))):
                    suite.end(leaving)
                    visitors.wait_rounds()
            visitors.assert_good()
            written.is_read_and_changed_right(suite)
        assert suite.parked() == 0
        assert not suite.logged("error")


def _of(service: str) -> list[str]:
    return [f"{service}-{kind}" for kind in _TYPES]


def _processes() -> list[str]:
    return [*(name for service in SERVICES for name in _of(service)), "gateway"]


def _walk_the_mission(suite: Deployment) -> None:
    settings = {
        **os.environ,
        **{name: suite.plan.settings[name] for name in ("ADMIN_EMAIL", "ADMIN_PASSWORD")},
        "GATEWAY_URL": suite.plan.local_url("gateway"),
        "MAIL_URL": suite.plan.local_url("mail-page"),
    }
    outcome = subprocess.run(
        [sys.executable, str(ROOT / "deploy" / "demo.py")],
        env=settings,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert outcome.returncode == 0, outcome.stdout[-3000:] + outcome.stderr


def _administrator(suite: Deployment, http: httpx.Client) -> Person:
    settings = suite.plan.settings
    return Person(http, "", settings["ADMIN_EMAIL"], settings["ADMIN_PASSWORD"]).log_in()


class _Written:
    """What the previous version has stored: packages, a person, what they hold and have watched."""

    def __init__(self, visitors: Visitors, admin: Person, genres: list[int]) -> None:
        self._visitors = visitors
        self._admin = admin
        self._mark = unique("before")
        self._genres = sorted(genres)[:3]
        self._packages = [visitors.make_package(f"{self._mark} {n}", [genre]) for n, genre in enumerate(self._genres)]
        self._person = register(admin.http)
        self._key = {"Idempotency-Key": str(uuid.uuid4())}
        self._subscribed = self._subscribe()
        assert self._subscribed.status_code == 201, self._subscribed.text
        self._movie = self._person.get("/v1/movies?pageSize=1").json()["data"][0]["id"]
        assert self._person.put(f"/v1/watched/{self._movie}").status_code == 201
        self._report = self._person.get("/v1/reports/me").json()

    def _subscribe(self) -> httpx.Response:
        return self._person.post("/v1/subscriptions", {"packageId": self._packages[0]["id"]}, headers=self._key)

    def is_read_and_changed_right(self, suite: Deployment) -> None:
        """Everything is there for the version that runs now, and can be changed by it."""
        self._packages_are_found()
        # Until the worker has been through them the packages are searched one by one, and afterwards by the index.
        waiting = "SELECT COUNT(*) FROM packages WHERE is_unindexed = 1"
        until(lambda: suite.query("subscription", waiting) == [(0,)], 30, "every package in the index")
        self._packages_are_found()
        self._rename(self._packages[1])
        self._person_goes_on()

    def _packages_are_found(self) -> None:
        names = [package["name"] for package in self._packages]
        assert self._visitors.found(f"name={self._mark}") == names
        for package, genre in zip(self._packages, self._genres, strict=True):
            assert self._visitors.found(f"name={self._mark}&genreIds={genre}") == [package["name"]]
            assert package["name"] in self._visitors.found(f"genreIds={genre}")
            assert self._admin.get(f"/v1/packages/{package['id']}").json() == package

    def _rename(self, package: dict[str, Any]) -> None:
        path = f"/v1/packages/{package['id']}"
        etag = self._admin.get(path).headers["etag"]
        name = unique("after")
        answer = self._admin.patch(path, {"name": name}, headers={"If-Match": etag})
        assert answer.status_code == 200, answer.text
        assert answer.json()["version"] == package["version"] + 1
        assert self._visitors.found(f"name={name}") == [name]
        assert package["name"] not in self._visitors.found(f"name={self._mark}")

    def _person_goes_on(self) -> None:
        person = self._person
        refreshed = person.http.post("/v1/auth/refresh", json={"refreshToken": person.tokens["refreshToken"]})
        assert refreshed.status_code == 200, refreshed.text
        person.log_in()
        again = self._subscribe()
        assert (again.status_code, again.json()) == (201, self._subscribed.json()), "one key, one subscription"
        assert person.get("/v1/reports/me").json() == self._report
        assert person.get(f"/v1/movies/{self._movie}").status_code == 200
        assert person.delete(f"/v1/watched/{self._movie}").status_code == 204
        assert person.delete(f"/v1/subscriptions/{again.json()['id']}").status_code == 204
        until(lambda: person.get(f"/v1/movies/{self._movie}").status_code == 403, 5, "the movies go")
