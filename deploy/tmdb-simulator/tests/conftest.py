from __future__ import annotations

import socket
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import pytest
import uvicorn

from tmdb_simulator.app import create_app
from tmdb_simulator.films import load_films, parse_film
from tmdb_simulator.settings import PACKAGED_FILMS

BEARER = {"Authorization": "Bearer any-token"}


def _film(number: int) -> dict[str, Any]:
    """Film `number` of a small made-up world, its values following from the number."""
    return {
        "id": number,
        "title": f"Film {number:03}",
        "release_date": f"{1950 + number % 50}-{1 + number % 12:02}-{1 + number % 28:02}",
        "genre_ids": [genre for genre in (28, 12, 16) if number % {28: 2, 12: 3, 16: 5}[genre] == 0],
        "popularity": float(number * 37 % 101),
        "vote_average": number % 10 + 0.5,
        "vote_count": number * 11 % 97,
        "original_language": ("en", "fr", "ja")[number % 3],
        "overview": f"About {number}.",
    }


@pytest.fixture
def sources() -> list[dict[str, Any]]:
    """The 90 films that `client` serves, as lines of a film file."""
    return [_film(number) for number in range(1, 91)]


@pytest.fixture
async def client(sources: list[dict[str, Any]]) -> AsyncIterator[httpx.AsyncClient]:
    """A client of a simulator of its own, in this process: nothing is left for the next test."""
    films = {source["id"]: parse_film(source) for source in sources}
    transport = httpx.ASGITransport(create_app(films))
    async with httpx.AsyncClient(transport=transport, base_url="http://simulator", headers=BEARER) as http:
        yield http


@pytest.fixture(scope="session")
def _address() -> Iterator[str]:
    """A simulator of the packaged films behind a real socket, where framing is seen."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        create_app(load_films(PACKAGED_FILMS)),
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=1,
    )
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, args=([listener],))
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield f"http://127.0.0.1:{listener.getsockname()[1]}"
    server.should_exit = True
    thread.join()
    listener.close()


@pytest.fixture
def simulator(_address: str) -> Iterator[httpx.Client]:
    """A client of the packaged films over real HTTP, with no fault and an empty log."""
    with httpx.Client(base_url=_address, headers=BEARER, timeout=5) as http:
        for path in ("/admin/faults", "/admin/requests", "/admin/genres"):
            http.delete(path)
        yield http
        http.delete("/admin/faults")


@pytest.fixture
def inject(simulator: httpx.Client) -> Callable[..., None]:
    """Switches on exactly one fault of the simulator."""

    def inject_fault(kind: str, **options: Any) -> None:
        answer = simulator.put("/admin/faults", json={"faults": [{"kind": kind, **options}]})
        assert answer.status_code == 200, answer.text

    return inject_fault
