"""People who use the suite while it is broken: they change what they hold, leave, or only read."""

from __future__ import annotations

import random
import threading
import time
import uuid
from contextlib import ExitStack
from typing import Any, Self

import httpx
from suite_client import Person, until

from lab.suite import Suite

_TRANSIENT = frozenset({502, 503, 504})


# Before the client of the tests does it by itself, which takes "later" for a failure.
_LOGIN_USED_SECONDS = 240.0


def _log_in(person: Person) -> None:
    """Log in anew unless that is not possible just now: the old token is good for some minutes more."""
    answer = person.http.post("/v1/auth/login", json={"email": person.email, "password": person.password})
    if answer.status_code == httpx.codes.OK:
        person.tokens, person.logged_in_at = answer.json(), time.monotonic()


def send_patiently(
    person: Person, method: str, path: str, body: dict[str, Any] | None
) -> tuple[httpx.Response | None, int]:
    """The final answer, None when there is none within a minute, and how many answers said "later".

    The same key makes a repetition the same request.
    """
    headers = {"Idempotency-Key": str(uuid.uuid4())} if method == "POST" else {}
    deadline = time.monotonic() + 60
    refused = 0
    while time.monotonic() < deadline:
        try:
            if time.monotonic() - person.logged_in_at > _LOGIN_USED_SECONDS:
                _log_in(person)
            answer = person.request(method, path, json=body, headers=headers)
        except httpx.TransportError:
            time.sleep(0.2)
            continue
        if answer.status_code in _TRANSIENT or (answer.status_code == 409 and "progress" in answer.text):
            refused += 1
            time.sleep(0.3)
        else:
            return answer, refused
    return None, refused


class Subscribers:
    """People who subscribe and cancel at random, each in a thread, patient with answers that say "later"."""

    def __init__(self, people: list[Person], packages: list[str], seed: int) -> None:
        self.people = people
        self._packages = packages
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._live, args=(person, random.Random(seed + number)), daemon=True)
            for number, person in enumerate(people)
        ]
        self.acknowledged = 0
        self.refused = 0
        self.wrong: list[str] = []
        self.holds: dict[tuple[str, str], str | None] = {}

    def start(self) -> Subscribers:
        for thread in self._threads:
            thread.start()
        return self

    def stop(self) -> None:
        """Let everybody finish the request under way."""
        self._stop.set()
        for thread in self._threads:
            thread.join(60)

    def _live(self, person: Person, rng: random.Random) -> None:
        while not self._stop.is_set():
            package = rng.choice(self._packages)
            held = self.holds.get((person.id, package))
            if held is None:
                answer = self._send(person, "POST", "/v1/subscriptions", {"packageId": package})
                if answer is not None and answer.status_code == 201:
                    self.holds[person.id, package] = answer.json()["id"]
                elif answer is not None:
                    self.wrong.append(f"POST {answer.status_code} {answer.text[:200]}")
            else:
                answer = self._send(person, "DELETE", f"/v1/subscriptions/{held}", None)
                if answer is not None and answer.status_code in (204, 409):
                    self.holds[person.id, package] = None
                elif answer is not None:
                    self.wrong.append(f"DELETE {answer.status_code} {answer.text[:200]}")
            time.sleep(rng.expovariate(10))

    def _send(self, person: Person, method: str, path: str, body: dict[str, Any] | None) -> httpx.Response | None:
        answer, refused = send_patiently(person, method, path, body)
        self.refused += refused
        if answer is None:
            self.wrong.append(f"{method} {path}: no final answer within a minute")
        else:
            self.acknowledged += 1
        return answer


class Leavers:
    """People with a subscription and a history who, one after the other, have themselves erased."""

    def __init__(self, people: list[Person], package: str) -> None:
        self.people = people
        self.wrong: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._leave, daemon=True)
        for person in people:
            answer = person.post("/v1/subscriptions", {"packageId": package})
            assert answer.status_code == 201, answer.text
            page = until(lambda p=person: p.get("/v1/movies?pageSize=1").json()["data"], 20, "movies to see")
            assert person.put(f"/v1/watched/{page[0]['id']}").status_code == 201

    def start(self, pause: float) -> Leavers:
        """One leaves after each pause."""
        self._pause = pause
        self._thread.start()
        return self

    def stop(self) -> None:
        """All who are left leave now."""
        self._stop.set()
        self._thread.join(120)

    def _leave(self) -> None:
        for person in self.people:
            self._stop.wait(self._pause)
            answer, _ = send_patiently(person, "DELETE", "/v1/users/me", None)
            # Somebody whose first request was carried out, and its answer lost, is unknown to the second.
            if answer is None or answer.status_code not in (204, 401, 404):
                self.wrong.append(
                    f"DELETE {answer.status_code if answer else None} {answer.text[:200] if answer else ''}"
                )


class Load:
    """Readers who never pause for long; whatever is not 200 counts as failed.

    They reach the gateways as through a balancer: only those that say they are ready, one connection to each.
    """

    paths = ("/v1/packages", "/v1/movies?pageSize=5", "/v1/entitlements/me", "/v1/users/me")

    def __init__(self, suite: Suite, people: list[Person]) -> None:
        self._suite = suite
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._read, args=(person,), daemon=True) for person in people]
        self._threads.append(threading.Thread(target=self._look, daemon=True))
        self._ready = list(suite.gateway_urls)
        self.requests = 0
        self.failed: list[str] = []
        for person in people:
            person.log_in()

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _look(self) -> None:
        gateways = dict(zip(self._suite.gateway_urls, self._suite.replicas("gateway"), strict=True))
        while not self._stop.wait(0.1):
            self._ready = [url for url, program in gateways.items() if program.is_ready]

    def _read(self, person: Person) -> None:
        with ExitStack() as stack:
            clients = {url: stack.enter_context(self._suite.client(url)) for url in self._suite.gateway_urls}
            while not self._stop.wait(0.02):
                for path in self.paths:
                    self.requests += 1
                    url = random.choice(self._ready or list(clients))
                    try:
                        answer = clients[url].get(path, headers=person.headers)
                    except httpx.TransportError as error:
                        self.failed.append(f"{path} {error!r}")
                        continue
                    if answer.status_code != 200:
                        self.failed.append(f"{path} {answer.status_code} {answer.text[:150]}")
