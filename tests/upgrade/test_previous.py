"""Which version counts as the previous one, and what is said when its sources are not there."""

import subprocess
from pathlib import Path

import pytest
from tests.upgrade.previous import HistoryMissingError, extract, find, previous_commit


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository whose file names its first commit as the previous version."""
    (tmp_path / "tests/upgrade").mkdir(parents=True)
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    (tmp_path / "version").write_text("first")
    (tmp_path / "tests/upgrade/previous-version").write_text(f"# Why.\n{commit(tmp_path)}\n")
    commit(tmp_path)
    return tmp_path


@pytest.fixture
def first(repository: Path) -> str:
    """Its first commit."""
    return git(repository, "rev-list", "--max-parents=0", "HEAD")


def git(folder: Path, *arguments: str) -> str:
    author = ("-c", "user.name=Test", "-c", "user.email=test@example.com", "-c", "tag.gpgSign=false")
    command = ["git", *author, "-c", "commit.gpgSign=false", "-C", str(folder), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def commit(folder: Path) -> str:
    git(folder, "add", "--all")
    git(folder, "commit", "--quiet", "--allow-empty", "--message=Change")
    return git(folder, "rev-parse", "HEAD")


def test_without_a_release_it_is_the_commit_that_the_file_names(repository: Path, first: str, tmp_path: Path) -> None:
    (repository / "version").write_text("second")
    commit(repository)
    assert previous_commit(repository) == first
    extract(first, tmp_path / "old", repository)
    assert (tmp_path / "old/version").read_text() == "first"
    assert (repository / "version").read_text() == "second"


@pytest.mark.parametrize("kind", ["--no-sign", "--annotate"])
def test_it_is_the_newest_release_before_this_commit(repository: Path, kind: str) -> None:
    message = [] if kind == "--no-sign" else ["--message=Release"]
    releases = {}
    for tag in ("v1.9.0", "v1.10.0", "v2.0.0"):
        releases[tag] = commit(repository)
        git(repository, "tag", kind, *message, tag)
    # The release that is being made is not its own predecessor.
    assert previous_commit(repository) == releases["v1.10.0"]
    commit(repository)
    assert previous_commit(repository) == releases["v2.0.0"]


def test_a_release_on_another_branch_is_not_in_this_history(repository: Path, first: str) -> None:
    git(repository, "switch", "--quiet", "--create", "other")
    commit(repository)
    git(repository, "tag", "v3.0.0")
    git(repository, "switch", "--quiet", "main")
    assert previous_commit(repository) == first


def test_a_shallow_clone_is_told_how_to_get_its_history(repository: Path, tmp_path: Path) -> None:
    commit(repository)
    git(tmp_path, "clone", "--quiet", "--depth=1", repository.as_uri(), "shallow")
    with pytest.raises(HistoryMissingError, match=r"git fetch --unshallow --tags.*fetch-depth: 0"):
        previous_commit(tmp_path / "shallow")


def test_a_shallow_clone_asks_its_origin_and_stays_as_it_is(repository: Path, first: str, tmp_path: Path) -> None:
    (repository / "version").write_text("second")
    commit(repository)
    shallow = tmp_path / "shallow"
    git(tmp_path, "clone", "--quiet", "--depth=1", repository.as_uri(), "shallow")
    found = find(tmp_path / "one", shallow)
    assert (found.name, (found.root / "version").read_text()) == (first[:12], "first")
    # A release is found as well, and a commit that the origin does not know stands in nobody's way.
    git(repository, "tag", "v1.0.0", "HEAD~1")
    (shallow / "version").write_text("own")
    commit(shallow)
    assert find(tmp_path / "two", shallow).name == git(repository, "rev-parse", "HEAD~1")[:12]
    assert git(shallow, "rev-parse", "--is-shallow-repository") == "true"
    assert git(shallow, "rev-list", "--count", "HEAD") == "2"


def test_a_shallow_clone_without_its_origin_is_told_both(repository: Path, tmp_path: Path) -> None:
    commit(repository)
    git(tmp_path, "clone", "--quiet", "--depth=1", repository.as_uri(), "shallow")
    git(tmp_path / "shallow", "remote", "set-url", "origin", str(tmp_path / "nowhere"))
    with pytest.raises(HistoryMissingError, match=r"git fetch --unshallow --tags.*its origin could not be asked"):
        find(tmp_path / "one", tmp_path / "shallow")


def test_a_history_that_lacks_the_commit_is_named(repository: Path) -> None:
    (repository / "tests/upgrade/previous-version").write_text("0" * 40)
    with pytest.raises(HistoryMissingError, match=f"lacks commit {'0' * 40}"):
        previous_commit(repository)
