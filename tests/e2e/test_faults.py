"""Any one process may be killed in the middle of the mission and started again: nothing is lost."""

import contextlib
import json
import os
import random
import subprocess
import sys
from pathlib import Path

import pytest
from suite_client import environment
from suite_processes import stack

ROOT = Path(__file__).parents[2]
STEPS = 14

PROCESSES = [
    "gateway",
    "identity-api",
    "identity-worker",
    "subscription-api",
    "subscription-worker",
    "catalog-api",
    "catalog-worker",
    "watch-api",
    "watch-worker",
    "mariadb",
    "mongo",
    "rabbitmq",
    "tmdb-simulator",
]


@pytest.mark.timeout(240)
@pytest.mark.parametrize("process", PROCESSES)
def test_the_mission_survives_the_death_of(process: str) -> None:
    table = json.loads((Path(environment("STACK_STATE")) / "table.json").read_text())
    if process not in {row["name"] for row in table}:
        pytest.skip("a server that somebody else runs")
    settings = {
        **os.environ,
        "GATEWAY_URL": environment("STACK_GATEWAY_URL"),
        "MAIL_URL": environment("STACK_MAIL_API_URL"),
        "PYTHONUNBUFFERED": "1",
    }
    kill_at = random.randrange(2, STEPS)
    printed: list[str] = []
    steps = 0
    killed = False
    with subprocess.Popen(
        [sys.executable, str(ROOT / "deploy" / "demo.py"), "--patient"],
        env=settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as demo:
        assert demo.stdout is not None
        try:
            for line in demo.stdout:
                printed.append(line)
                steps += line.startswith("■")
                if steps == kill_at and not killed:
                    stack("kill", process)
                    killed = True
                    stack("start", process)
            demo.wait(timeout=120)
        finally:
            demo.kill()
            if killed:
                # Whatever happened, the next test finds the process running.
                with contextlib.suppress(AssertionError):
                    stack("start", process)
    assert killed
    assert demo.returncode == 0, f"killed {process} at step {kill_at}:\n{''.join(printed)[-3000:]}"
