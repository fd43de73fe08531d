"""`python -m tmdb_simulator` as an operator meets it."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

COMMAND = [sys.executable, "-m", "tmdb_simulator"]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def start(port: int, **variables: str) -> subprocess.Popen[str]:
    environment = {**os.environ, "TMDB_SIMULATOR_PORT": str(port), **variables}
    return subprocess.Popen(COMMAND, env=environment, stderr=subprocess.PIPE, text=True)


def wait_until_ready(base: str) -> None:
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{base}/readyz").status_code == 200:
                return
        except httpx.TransportError:
            time.sleep(0.05)
    pytest.fail("the simulator did not come up")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("kind", ["hang", "slow"])
def test_a_signal_ends_it_cleanly_even_with_a_request_that_would_not_end(kind: str, number: signal.Signals) -> None:
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    process = start(port)
    try:
        wait_until_ready(base)
        options = {"seconds": 60} if kind == "slow" else {}
        httpx.put(f"{base}/admin/faults", json={"faults": [{"kind": kind, **options}]})
        with socket.create_connection(("127.0.0.1", port)) as connection:
            connection.sendall(b"GET /3/configuration HTTP/1.1\r\nHost: simulator\r\n\r\n")
            while not httpx.get(f"{base}/admin/requests").json()["total"]:
                time.sleep(0.02)
            process.send_signal(number)
            _, errors = process.communicate(timeout=10)
    finally:
        process.kill()
    assert process.returncode == 0, errors
    assert "Traceback" not in errors


@pytest.mark.parametrize("variables", [{"TMDB_SIMULATOR_FILMS": "/absent.jsonl"}, {"TMDB_SIMULATOR_PORT": "many"}])
def test_an_unusable_setting_is_reported_and_ends_it_with_status_2(
    variables: dict[str, str],
) -> None:
    environment = {**os.environ, **variables}
    ended = subprocess.run(COMMAND, check=False, env=environment, capture_output=True, text=True, timeout=20)
    assert ended.returncode == 2
    assert ended.stderr.startswith("tmdb-simulator: ")
    assert "Traceback" not in ended.stderr


def test_ten_thousand_films_are_loaded_within_two_seconds(tmp_path: Path) -> None:
    path = tmp_path / "films.jsonl"
    with path.open("w", encoding="utf-8") as lines:
        for number in range(1, 10_001):
            film = {"id": number, "title": f"Film {number}", "genre_ids": [28, 18]}
            lines.write(json.dumps(film) + "\n")
    port = free_port()
    process = start(port, TMDB_SIMULATOR_FILMS=str(path))
    try:
        wait_until_ready(f"http://127.0.0.1:{port}")
        assert httpx.get(f"http://127.0.0.1:{port}/readyz").json()["films"] == 10_000
    finally:
        process.send_signal(signal.SIGTERM)
        _, errors = process.communicate(timeout=10)
    measured = re.search(r"films read in ([\d.]+) s", errors)
    assert measured is not None
    assert float(measured.group(1)) < 2
