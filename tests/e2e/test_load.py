"""The whole mission by several people at once, for a moment: every answer is as agreed."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROUTES = (
    "GET /v1/movies",
    "PUT /v1/watched/{movieId}",
    "GET /v1/reports/me",
    "POST /v1/subscriptions",
    "DELETE /v1/subscriptions/{id}",
    "POST /v1/auth/login",
    "POST /v1/packages",
)


def load(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "bench.load", "--users", "8", "--idle-seconds", "1", *arguments],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )


def test_many_people_at_once_are_all_served() -> None:
    outcome = load("--seconds", "8")
    assert outcome.returncode == 0, outcome.stdout + outcome.stderr
    *_, total = (line for line in outcome.stdout.splitlines() if line.startswith("| all | ") and line.count("|") == 7)
    _, _, requests, failed, *_ = (cell.strip() for cell in total.split("|"))
    assert int(requests) > 0
    assert failed == "0"
    assert [route for route in ROUTES if f"`{route}`" not in outcome.stdout] == []
    assert "| gateway |" in outcome.stdout
