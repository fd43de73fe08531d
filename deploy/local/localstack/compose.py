"""What Docker Compose has to be told besides `.env`, and whether it can do what docker-compose.yml asks."""

from __future__ import annotations

import re
import shutil
import subprocess

from localstack import services
from localstack.errors import StackError
from localstack.plan import Plan

# The first that takes the content of a config from the file.
_OLDEST = (2, 23, 1)
_ADVICE = "or start the suite without Docker: make up ENGINE=local"


def require_plugin() -> None:
    """Check that Docker, where there is one, has a Compose that is new enough.

    Raises:
        StackError: says what to install.
    """
    if not shutil.which("docker"):
        return
    asked = subprocess.run(["docker", "compose", "version", "--short"], capture_output=True, text=True, check=False)
    numbers = re.match(r"v?(\d+)\.(\d+)\.(\d+)", asked.stdout.strip())
    if asked.returncode or not numbers:
        raise StackError(
            "Docker is here, but its Compose plugin is not: install docker-compose-plugin (Docker's packages) "
            f"or docker-compose-v2 (Ubuntu's), {_ADVICE}"
        )
    if tuple(map(int, numbers.groups())) < _OLDEST:
        wanted = ".".join(map(str, _OLDEST))
        raise StackError(f"Docker Compose {asked.stdout.strip()} is too old: install {wanted} or newer, {_ADVICE}")


def exports(plan: Plan) -> dict[str, str]:
    """Variables that docker-compose.yml cannot work out for itself."""
    found = {}
    if not plan.simulates_tmdb and not plan.settings.get("TMDB_BASE_URL"):
        # With a token, TMDB is the real one.
        found["TMDB_BASE_URL"] = services.REAL_TMDB_URL
    if films := plan.settings.get("TMDB_SIMULATOR_FILMS"):
        found["TMDB_SIMULATOR_FILMS"] = films
    if plan.replicas > 1:
        # Each gateway takes a port of the range.
        for name, variable in (("gateway", "STACK_PORTS_GATEWAY"), ("gateway-ops", "STACK_PORTS_GATEWAY_OPS")):
            first = plan.ports.of(name)
            found[variable] = f"{first}-{first + plan.replicas - 1}"
    return found
