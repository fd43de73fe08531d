"""Another film file makes the catalog fetch at once; the same one does not."""

import json
import threading
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from localstack import planning, tmdb_source
from localstack.plan import Plan
from localstack.ports import Ports
from localstack.state import State


class Gateway:
    """Notes the requests it gets; logs everybody in, or nobody."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str | None]] = []
        self.login_status = 200
        gateway = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                gateway.requests.append((self.path, self.headers.get("authorization")))
                self.rfile.read(int(self.headers.get("content-length", 0)))
                login = self.path == "/v1/auth/login"
                self.send_response(gateway.login_status if login else 202)
                self.end_headers()
                self.wfile.write(json.dumps({"accessToken": "abc"} if login else {}).encode())

            def log_message(self, *_arguments: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever)


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    made = Gateway()
    made.thread.start()
    yield made
    made.server.shutdown()
    made.thread.join()
    made.server.server_close()


@pytest.fixture
def films(tmp_path: Path) -> Path:
    file = tmp_path / "films.jsonl"
    file.write_text('{"id": 1}\n')
    return file


@pytest.fixture
def plan(tmp_path: Path, films: Path, gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> Plan:
    monkeypatch.setenv("TMDB_SIMULATOR_FILMS", str(films))
    plan = planning.make(State(tmp_path / "state"), "test", throw_away=True)
    return replace(plan, ports=Ports(0, {"STACK_PORT_GATEWAY": str(gateway.server.server_address[1])}))


def test_another_film_file_is_fetched_at_once(plan: Plan, films: Path, gateway: Gateway) -> None:
    told: list[str] = []
    tmdb_source.refresh(plan, told.append)
    assert not gateway.requests, "an empty catalog fetches by itself"
    tmdb_source.refresh(plan, told.append)
    assert not gateway.requests, "nothing has changed"

    films.write_text('{"id": 2}\n')
    tmdb_source.refresh(plan, told.append)
    assert gateway.requests == [("/v1/auth/login", None), ("/v1/sync", "Bearer abc")]
    assert "the catalog is fetching them" in told[-1]
    tmdb_source.refresh(plan, told.append)
    assert len(gateway.requests) == 2, "once is enough"


def test_an_administrator_with_another_password_is_told_what_to_do(plan: Plan, films: Path, gateway: Gateway) -> None:
    told: list[str] = []
    tmdb_source.refresh(plan, told.append)
    films.write_text("")
    gateway.login_status = 401
    tmdb_source.refresh(plan, told.append)
    assert "POST /v1/sync" in told[-1]
