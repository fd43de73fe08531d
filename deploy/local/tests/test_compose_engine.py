"""What `make up` does before Docker Compose is asked to do anything."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

STACK = Path(__file__).parents[1] / "stack.py"
# Nothing of what the caller's shell, or a test stack around this test, says.
FORGOTTEN = ("STACK_", "TMDB_")


@pytest.fixture
def docker(tmp_path: Path) -> Path:
    """A `docker` whose Compose plugin says it has the version in the file beside it; none when there is no file."""
    program = tmp_path / "docker"
    program.write_text('#!/bin/sh\n[ "$*" = "compose version --short" ] && cat "$(dirname "$0")/version" 2>/dev/null\n')
    program.chmod(0o755)
    return program


def compose_env(docker: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FORGOTTEN)}
    told = {"PATH": f"{docker.parent}:{os.environ['PATH']}", "REPLICAS": "1"} | environment
    return subprocess.run(
        [sys.executable, STACK, "compose-env"], env=kept | told, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize("version", ["2.23.1", "v2.40.3", "5.0.1-desktop.1"])
def test_a_compose_that_is_new_enough_is_used(docker: Path, version: str) -> None:
    (docker.parent / "version").write_text(f"{version}\n")
    asked = compose_env(docker)
    assert (asked.returncode, asked.stdout) == (0, ""), asked.stderr


@pytest.mark.parametrize(
    ("version", "said"),
    [
        (None, "its Compose plugin is not"),
        ("2.23.0", "Docker Compose 2.23.0 is too old"),
        ("nonsense", "plugin is not"),
    ],
)
def test_one_that_cannot_read_the_file_is_refused_with_what_to_do(docker: Path, version: str | None, said: str) -> None:
    if version is not None:
        (docker.parent / "version").write_text(version)
    asked = compose_env(docker)
    assert asked.returncode == 1
    assert said in asked.stderr
    assert "make up ENGINE=local" in asked.stderr
    assert "Traceback" not in asked.stderr


def test_several_gateways_share_a_range_of_ports(docker: Path) -> None:
    (docker.parent / "version").write_text("2.40.3")
    asked = compose_env(docker, REPLICAS="3", STACK_PORT_GATEWAY="18080")
    assert asked.stdout.splitlines() == [
        "export STACK_PORTS_GATEWAY=18080-18082",
        "export STACK_PORTS_GATEWAY_OPS=9080-9082",
    ]


def test_with_a_token_the_films_are_those_of_the_real_tmdb(docker: Path) -> None:
    (docker.parent / "version").write_text("2.40.3")
    assert compose_env(docker, TMDB_TOKEN="real").stdout == "export TMDB_BASE_URL=https://api.themoviedb.org/3\n"
    own = compose_env(docker, TMDB_TOKEN="real", TMDB_BASE_URL="http://proxy.test/3")
    assert own.stdout == ""
