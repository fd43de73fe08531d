"""Print the part of requirements.lock that one distribution needs to run, hashes and all.

An image should hold what its program needs and exactly what was tested. The lock holds the tools of development
too, and installing a distribution by name would resolve anew. So this keeps the entries of the lock that can be reached
from the distribution: its own dependencies and those of the chassis with the extras it asks for, then, along the
lock's "via" comments, what those need. pip checks every hash as with the whole lock.

Standard library only: it runs in a build stage before anything is installed.

Usage, in the root of the repository: runtime_lock.py FOLDER, or runtime_lock.py --package NAME
"""

from __future__ import annotations

import re
import sys
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_CHASSIS = "chassis"
_CHASSIS_FOLDER = "shared"
_NAME = re.compile(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[([^\]]*)\])?")


@dataclass(frozen=True)
class Entry:
    """One pinned package: its lines in the lock, and the packages that asked for it."""

    lines: tuple[str, ...]
    wanted_by: frozenset[str]


def read_lock(text: str) -> dict[str, Entry]:
    """The entries of a lock by package name."""
    found = {}
    for block in re.split(r"\n(?=[A-Za-z0-9])", text.strip()):
        lines = block.splitlines()
        comments = [line.strip().lstrip("#").strip() for line in lines if line.strip().startswith("#")]
        wanted_by = {comment.removeprefix("via").split("(")[0].strip() for comment in comments}
        kept = tuple(line for line in lines if not line.strip().startswith("#"))
        found[normalise(lines[0].partition("==")[0])] = Entry(kept, frozenset(map(normalise, wanted_by - {""})))
    return found


def normalise(name: str) -> str:
    """The name as PEP 503 compares names."""
    return re.sub(r"[-_.]+", "-", name.strip()).lower()


def split_requirement(requirement: str) -> tuple[str, list[str]]:
    """Name and extras of a requirement.

    Raises:
        ValueError: it has no name.
    """
    match = _NAME.match(requirement)
    if match is None:
        raise ValueError(f"no name in requirement {requirement!r}")
    extras = [normalise(extra) for extra in (match[2] or "").split(",") if extra.strip()]
    return normalise(match[1]), extras


def direct_dependencies(root: Path, folder: str) -> set[str]:
    """Names that a distribution asks for itself or through the chassis."""
    project = _project(root, folder)
    found = set()
    for requirement in project["dependencies"]:
        name, extras = split_requirement(requirement)
        if name == _CHASSIS:
            chassis = _project(root, _CHASSIS_FOLDER)
            optional = chassis.get("optional-dependencies", {})
            wanted = [*chassis["dependencies"], *(each for extra in extras for each in optional[extra])]
            found |= {split_requirement(each)[0] for each in wanted}
        else:
            found.add(name)
    return found


def _project(root: Path, folder: str) -> dict[str, Any]:
    project: dict[str, Any] = tomllib.loads((root / folder / "pyproject.toml").read_text())["project"]
    return project


def closure(lock: Mapping[str, Entry], roots: Iterable[str]) -> list[str]:
    """Names of all entries that the roots need, sorted.

    Raises:
        KeyError: a root is not in the lock.
    """
    found = set()
    waiting = list(roots)
    while waiting:
        name = waiting.pop()
        if name in found:
            continue
        if name not in lock:
            raise KeyError(f"{name} is not in the lock: make lock")
        found.add(name)
        waiting += [other for other, entry in lock.items() if name in entry.wanted_by]
    return sorted(found)


def main(arguments: list[str]) -> int:
    """Print the entries."""
    root = Path()
    lock = read_lock((root / "requirements.lock").read_text())
    roots = {normalise(arguments[1])} if arguments[0] == "--package" else direct_dependencies(root, arguments[0])
    for name in closure(lock, roots):
        print("\n".join(lock[name].lines))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
