"""The whole mission by many people at once, against a running suite.

    python -m bench.load [--users 20] [--seconds 60] [--idle-seconds 10]

Environment: STACK_GATEWAY_URL (http://localhost:8080), ADMIN_EMAIL and ADMIN_PASSWORD; with STACK_STATE, the folder of
a local stack, processor time is shown as well. Exit status 1 when any answer was not as agreed.
"""

import argparse
import os
import secrets
import sys
import time
from typing import Any

import gevent
import httpx
from locust.env import Environment

from bench.load.people import PEOPLE, WORLD
from bench.load.report import Spent, spent_by_process, times_by_route

_PACKAGES = ((28, 12), (35, 18), (878, 53), (16, 10751), (80, 9648), (27, 14))
_PATIENCE_SECONDS = 120.0
_ARRIVAL_SECONDS = 20.0


class Desk:
    """The administrator before the doors open."""

    def __init__(self, base_url: str, email: str, password: str) -> None:
        self._http = httpx.Client(base_url=base_url, timeout=30, trust_env=False)
        answer = self._send("POST", "/v1/auth/login", {"email": email, "password": password})
        self._http.headers["Authorization"] = f"Bearer {answer['accessToken']}"

    def _send(self, method: str, path: str, body: Any = None) -> Any:
        answer = self._http.request(method, path, json=body)
        answer.raise_for_status()
        return answer.json()

    def genres(self) -> list[int]:
        """Genres that have movies, once there are enough."""
        deadline = time.monotonic() + _PATIENCE_SECONDS
        while True:
            data = self._send("GET", "/v1/genres?pageSize=100")["data"]
            found = [genre["id"] for genre in data if genre["movieCount"] > 0]
            if len(found) >= 15:
                return found
            if time.monotonic() > deadline:
                sys.exit("the catalog has no movies")
            time.sleep(0.5)

    def package(self, *genres: int) -> str:
        body = {"name": f"For everybody {secrets.token_hex(6)}", "genreIds": list(genres)}
        made: str = self._send("POST", "/v1/packages", body)["id"]
        return made


def open_doors(base_url: str) -> None:
    """Packages to subscribe to."""
    WORLD.admin_email, WORLD.admin_password = os.environ["ADMIN_EMAIL"], os.environ["ADMIN_PASSWORD"]
    desk = Desk(base_url, WORLD.admin_email, WORLD.admin_password)
    WORLD.genres = desk.genres()
    WORLD.packages = [desk.package(*genres) for genres in _PACKAGES if set(genres) <= set(WORLD.genres)]


def measure_idle(seconds: float) -> dict[str, float]:
    """The share of a core that each process uses while nobody is there."""
    spent, began = Spent.now(), time.monotonic()
    gevent.sleep(seconds)
    return {name: used / (time.monotonic() - began) for name, used in spent.since().items()}


def have_arrived(environment: Environment, users: int) -> bool:
    """Wait until everybody is logged in and has what they need; False when somebody could not."""
    deadline = time.monotonic() + users * _ARRIVAL_SECONDS
    while WORLD.arrived < users and not environment.stats.total.num_failures:
        if time.monotonic() > deadline:
            return False
        gevent.sleep(0.1)
    return WORLD.arrived >= users


def main() -> int:
    """Run; 0 when every answer was as agreed."""
    parser = argparse.ArgumentParser(prog="python -m bench.load", description="The whole mission by many people.")
    parser.add_argument("--users", type=int, default=20, help="how many people at once (default 20)")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long, once all are there (default 60)")
    parser.add_argument("--idle-seconds", type=float, default=10.0, help="measured before anybody comes (default 10)")
    options = parser.parse_args()
    base_url = os.environ.get("STACK_GATEWAY_URL") or "http://localhost:8080"
    open_doors(base_url)
    idle = measure_idle(options.idle_seconds)
    environment = Environment(user_classes=list(PEOPLE), host=base_url)
    runner = environment.create_local_runner()
    runner.start(options.users, spawn_rate=10)
    if not have_arrived(environment, options.users):
        print(f"only {WORLD.arrived} of {options.users} people have arrived", file=sys.stderr)
        print_errors(environment)
        return 1
    environment.stats.clear_all()
    spent, began = Spent.now(), time.monotonic()
    gevent.sleep(options.seconds)
    used, seconds = spent.since(), time.monotonic() - began
    sent = environment.stats.total.num_requests
    runner.quit()

    print(f"{options.users} people, {seconds:.0f} s, {sent / seconds:.1f} requests a second\n")
    print(times_by_route(environment.stats))
    if used:
        print("\n" + spent_by_process(used, idle, sent, seconds))
    print_errors(environment)
    return 1 if environment.stats.total.num_failures or not sent else 0


def print_errors(environment: Environment) -> None:
    """What went wrong, how often."""
    for error in environment.stats.errors.values():
        print(f"{error.occurrences} times {error.method} {error.name}: {error.error}", file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
