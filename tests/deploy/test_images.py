"""The images: their recipe passes the linter, and its steps make programs that run without rights."""

import os
import re
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.deploy.conftest import ROOT, Document, program
from tests.deploy.image_build import ImageBuild, context_files

# Each takes half a minute and downloads; the smallest shows that the steps hold together. CI builds them all.
SMALLEST = "tmdb-simulator"
ALL = ["gateway", "identity", "subscription", "catalog", "watch", SMALLEST]
BUILT = ALL if os.environ.get("ALL_IMAGES") else [SMALLEST]


def test_the_linter_has_nothing_to_say() -> None:
    assert not program("hadolint", str(ROOT / "deploy/compose/Dockerfile"))


def test_nothing_but_sources_and_the_lock_is_sent_to_the_builder() -> None:
    files = [path.relative_to(ROOT) for path in context_files(ROOT)]
    assert {path.parts[0] for path in files} == {
        "requirements.lock",
        "shared",
        "gateway",
        "identity-service",
        "subscription-service",
        "catalog-service",
        "watch-service",
        "deploy",
    }
    assert not [path for path in files if {".env", "tests", "secrets", ".venv"} & set(path.parts)]
    assert sum((ROOT / path).stat().st_size for path in files) < 10_000_000


def test_a_base_image_is_pinned_to_a_version() -> None:
    text = (ROOT / "deploy/compose/Dockerfile").read_text()
    assert re.search(r"^ARG PYTHON=3\.\d+\.\d+-slim-\w+$", text, re.MULTILINE)
    assert all(line.startswith("FROM python:${PYTHON}") for line in text.splitlines() if line.startswith("FROM"))


@pytest.fixture(params=BUILT)
def built(request: pytest.FixtureRequest, compose: Document) -> Iterator[ImageBuild]:
    """An image's program, made by the steps of the Dockerfile."""
    name = request.param if request.param in compose["services"] else f"{request.param}-migrate"
    with tempfile.TemporaryDirectory(prefix="image-") as folder:
        Path(folder).chmod(0o755)
        build = ImageBuild(ROOT, Path(folder), **compose["services"][name]["build"]["args"])
        build.run()
        yield build


@pytest.mark.timeout(400)
def test_the_steps_make_a_program_that_starts_and_ends_when_told(built: ImageBuild) -> None:
    module = built.environment["MODULE"]
    if module != "tmdb_simulator":
        # The others want servers; without a setting they say so and end.
        process = built.start("api")
        output = process.communicate(timeout=60)[0]
        assert process.returncode not in (0, None)
        assert re.search(r"(?i)broker_url", output), output
        return
    port = _free_port()
    told = {"TMDB_SIMULATOR_PORT": str(port)}
    assert not _is_healthy(built, told)
    process = built.start(**told)
    try:
        deadline = time.monotonic() + 60
        while not _is_healthy(built, told):
            assert process.poll() is None, process.communicate()[0]
            assert time.monotonic() < deadline
        # As compose asks, and as a worker is found, which listens on the second port only.
        assert _is_healthy(built, {}, str(port))
        assert _is_healthy(built, {"TMDB_SIMULATOR_PORT": "1", "TMDB_SIMULATOR_OPS_PORT": str(port)})
        assert not _is_healthy(built, {})
    finally:
        process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    assert process.returncode == 0, "the program itself gets the signal, and ends in good order"


def _is_healthy(built: ImageBuild, environment: dict[str, str], *arguments: str) -> bool:
    """What the image's HEALTHCHECK says."""
    program, *rest = built.healthcheck
    command = [str(built.folder / "opt/app/bin" / program), *rest, *arguments]
    return subprocess.run(command, env=built.environment | environment, check=False).returncode == 0


def _free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port
