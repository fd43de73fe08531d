"""What the deployment files become when the programs that read them in production have read them."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "deploy" / "local"))

from localstack import envfile  # noqa: E402 - found by the path above

Document = dict[str, Any]
BIN = Path(sys.executable).parent


def program(name: str, *arguments: str, **options: Any) -> str:
    """The output of a program of the development environment; its complaint when it fails."""
    done = subprocess.run([BIN / name, *arguments], capture_output=True, text=True, check=False, **options)
    assert done.returncode == 0, done.stderr or done.stdout
    return str(done.stdout)


@pytest.fixture(scope="session")
def secret_values() -> dict[str, str]:
    """Every value that .env has to have, made for these tests."""
    return {name: make() for name, make in envfile.REQUIRED.items()}


@pytest.fixture(scope="session")
def kubernetes_folder(tmp_path_factory: pytest.TempPathFactory, secret_values: dict[str, str]) -> Path:
    """The manifests with secrets for the local overlay, apart from the working tree."""
    folder = tmp_path_factory.mktemp("deploy")
    for name in ("kubernetes", "compose"):
        ignored = shutil.ignore_patterns("secrets", "__pycache__", "tests")
        shutil.copytree(ROOT / "deploy" / name, folder / name, ignore=ignored)
    script = ROOT / "deploy/kubernetes/write_secrets.py"
    target = folder / "kubernetes/overlays/local/secrets"
    environment = {"PATH": os.defpath, **secret_values}
    subprocess.run([sys.executable, script, target], env=environment, check=True, capture_output=True)
    return folder / "kubernetes"


@pytest.fixture(scope="session")
def render(kubernetes_folder: Path) -> Callable[[str], list[Document]]:
    """All objects of an overlay, as `kubectl apply -k` would send them."""
    known: dict[str, list[Document]] = {}

    def rendered(overlay: str) -> list[Document]:
        if overlay not in known:
            text = program("kubectl", "kustomize", str(kubernetes_folder / "overlays" / overlay))
            known[overlay] = list(yaml.safe_load_all(text))
        return known[overlay]

    return rendered


@pytest.fixture(scope="session", params=["local", "production"])
def overlay(request: pytest.FixtureRequest, render: Callable[[str], list[Document]]) -> list[Document]:
    """The objects of each overlay in turn."""
    return render(request.param)


@pytest.fixture(scope="session")
def compose(secret_values: dict[str, str]) -> Document:
    """docker-compose.yml as Docker Compose itself understands it."""
    environment = {"PATH": os.defpath, "HOME": "/nonexistent", **secret_values}
    arguments = ["--project-directory", str(ROOT), "--env-file", "/dev/null", "config", "--format", "json"]
    content: Document = json.loads(program("docker-compose", *arguments, env=environment, cwd=ROOT))
    return content
