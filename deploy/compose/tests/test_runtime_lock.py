"""An image gets the part of the lock that its program needs, and nothing else."""

import importlib.metadata
from pathlib import Path

import pytest

import runtime_lock

ROOT = Path(__file__).parents[3]
FOLDERS = ["identity-service", "subscription-service", "catalog-service", "watch-service", "gateway"]
LOCK = """\
alpha==1.0 \\
    --hash=sha256:aa
    # via
    #   service (service/pyproject.toml)
    #   beta
beta==2.0 ; python_version < "3.12" \\
    --hash=sha256:bb \\
    --hash=sha256:bc
    # via service
gamma-x==3.0 \\
    --hash=sha256:cc
    # via Beta
tool==9.0 \\
    --hash=sha256:dd
    # via movie-package-suite (pyproject.toml)
"""


def test_what_is_needed_is_followed_along_the_lock() -> None:
    lock = runtime_lock.read_lock(LOCK)
    assert runtime_lock.closure(lock, {"beta"}) == ["alpha", "beta", "gamma-x"]
    assert runtime_lock.closure(lock, {"alpha"}) == ["alpha"]


def test_hashes_and_conditions_are_kept_and_comments_dropped() -> None:
    assert runtime_lock.read_lock(LOCK)["beta"].lines == (
        'beta==2.0 ; python_version < "3.12" \\',
        "    --hash=sha256:bb \\",
        "    --hash=sha256:bc",
    )


def test_a_dependency_that_the_lock_lacks_is_an_error() -> None:
    with pytest.raises(KeyError, match="delta is not in the lock"):
        runtime_lock.closure(runtime_lock.read_lock(LOCK), {"delta"})


@pytest.mark.parametrize(
    ("folder", "has", "has_not"),
    [
        ("identity-service", {"sqlalchemy", "bcrypt", "aio-pika", "greenlet"}, {"pymongo", "pytest", "mypy"}),
        ("catalog-service", {"pymongo", "aio-pika", "httpx"}, {"sqlalchemy", "alembic", "pytest"}),
        ("gateway", {"uvloop", "httptools", "aio-pika"}, {"sqlalchemy", "pymongo", "hatchling"}),
        ("deploy/mail-catcher", {"aiosmtpd", "uvicorn"}, {"fastapi", "pydantic"}),
    ],
)
def test_images_hold_what_they_run(folder: str, has: set[str], has_not: set[str]) -> None:
    lock = runtime_lock.read_lock((ROOT / "requirements.lock").read_text())
    names = set(runtime_lock.closure(lock, runtime_lock.direct_dependencies(ROOT, folder)))
    assert has <= names
    assert not has_not & names


@pytest.mark.parametrize(
    "folder", ["identity-service", "subscription-service", "catalog-service", "watch-service", "gateway"]
)
def test_nothing_that_an_installed_package_requires_is_left_out(folder: str) -> None:
    lock = runtime_lock.read_lock((ROOT / "requirements.lock").read_text())
    names = set(runtime_lock.closure(lock, runtime_lock.direct_dependencies(ROOT, folder)))
    for name in names & {runtime_lock.normalise(each.name) for each in importlib.metadata.distributions()}:
        for requirement in importlib.metadata.requires(name) or []:
            if ";" not in requirement:
                assert runtime_lock.split_requirement(requirement)[0] in names, f"{name} requires {requirement}"
