"""The version before this one: which it is, and its sources, taken from git."""

from __future__ import annotations

import io
import os
import subprocess
import zipfile
from dataclasses import dataclass
from pathlib import Path

from localstack.process import Process

ROOT = Path(__file__).parents[2]
_FILE = "tests/upgrade/previous-version"


class HistoryMissingError(Exception):
    """The sources of the previous version cannot be had here; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Version:
    """Sources that processes can be started from; both versions share the installed dependencies."""

    name: str
    root: Path

    @property
    def python_path(self) -> str:
        """The folders of the packages; before site-packages, so that they win over what is installed."""
        return os.pathsep.join(str(folder) for folder in sorted([*self.root.glob("*/src"), *self.root.glob("*/*/src")]))

    def require_own_packages(self, row: Process) -> None:
        """Check that the process would load all packages of ours from these sources: a test of one version proves
        nothing about the other.
        """
        names = ["chassis", "gateway", "identity", "subscription", "catalog", "watch"]
        script = f"import importlib.util as u; print(*(u.find_spec(name).origin for name in {names}), sep='\\n')"
        found = subprocess.run(
            [row.argv[0], "-c", script], env=row.env, cwd=row.cwd, capture_output=True, text=True, check=True
        ).stdout.split()
        foreign = [path for path in found if not Path(path).is_relative_to(self.root)]
        assert not foreign, f"version {self.name} would load {foreign}"


CURRENT = Version("current", ROOT)


def _git(repository: Path, *arguments: str) -> bytes:
    # A container of CI works as another user than the one that made the checkout; git then wants this permission.
    command = ["git", "-c", f"safe.directory={repository}", "-C", str(repository), *arguments]
    # Nobody is there to type a password.
    environment = os.environ | {"GIT_TERMINAL_PROMPT": "0"}
    outcome = subprocess.run(command, capture_output=True, check=False, env=environment)
    if outcome.returncode != 0:
        raise HistoryMissingError(f"git {' '.join(arguments)}: {outcome.stderr.decode(errors='replace').strip()}")
    return outcome.stdout


def _is_there(repository: Path, commit: str) -> bool:
    try:
        _git(repository, "cat-file", "-e", f"{commit}^{{commit}}")
    except HistoryMissingError:
        return False
    return True


def find(folder: Path, repository: Path = ROOT) -> Version:
    """The version before this one, its sources written into the folder.

    A clone that lacks the history is left as it is: the history is asked of where the clone came from.

    Raises:
        HistoryMissingError: neither has it.
    """
    try:
        return extract(previous_commit(repository), folder / "sources", repository)
    except HistoryMissingError as missing:
        whole = folder / "whole.git"
        try:
            origin = _git(repository, "remote", "get-url", "origin").decode().strip()
            _git(repository, "clone", "--quiet", "--bare", origin, str(whole))
        except HistoryMissingError as unreachable:
            raise HistoryMissingError(f"{missing}; and its origin could not be asked: {unreachable}") from missing
        head = _git(repository, "rev-parse", "HEAD").decode().strip()
        # A commit of one's own, or the merge that a workflow makes of a pull request, is not there: main is.
        known = head if _is_there(whole, head) else "HEAD"
        return extract(_before(whole, known, _named(repository)), folder / "sources", whole)


def previous_commit(repository: Path = ROOT) -> str:
    """The newest release before HEAD, or the commit that the file beside this one names.

    Raises:
        HistoryMissingError: the history ends before it.
    """
    if _git(repository, "rev-parse", "--is-shallow-repository").strip() == b"true":
        raise HistoryMissingError(
            "this clone is shallow, so the previous version is unknown: run `git fetch --unshallow --tags` "
            "(in a workflow: `fetch-depth: 0` for actions/checkout)"
        )
    return _before(repository, "HEAD", _named(repository))


def _named(repository: Path) -> str:
    lines = (repository / _FILE).read_text().splitlines()
    (commit,) = [line.strip() for line in lines if line.strip() and not line.startswith("#")]
    return commit


def _before(repository: Path, revision: str, named: str) -> str:
    head = _git(repository, "rev-parse", revision).decode().strip()
    tags = _git(
        repository,
        "for-each-ref",
        f"--merged={head}",
        "--sort=-version:refname",
        # An annotated tag is an object of its own; the commit is what it points to.
        "--format=%(if)%(*objectname)%(then)%(*objectname)%(else)%(objectname)%(end)",
        "refs/tags/v*",
    )
    for commit in tags.decode().split():
        if commit != head:
            return commit
    if not _is_there(repository, named):
        raise HistoryMissingError(
            f"the history of this clone lacks commit {named}, which {_FILE} names as the previous version: "
            "run `git fetch --tags origin` with the whole history, or name a commit that is there"
        )
    return named


def extract(commit: str, folder: Path, repository: Path = ROOT) -> Version:
    """Write the sources of a commit into the folder; the clone and its work tree stay as they are."""
    archive = _git(repository, "archive", "--format=zip", commit)
    zipfile.ZipFile(io.BytesIO(archive)).extractall(folder)
    return Version(commit[:12], folder)
