"""One row of the process table, and the table as a file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from localstack.errors import StackError
from localstack.state import write_private


@dataclass(frozen=True, slots=True)
class Process:
    """A program that the supervisor starts, probes, restarts and stops.

    Without a `probe` it is a one-shot step: it is ready once it has ended with 0.
    `needs` names processes that must have been ready once before this one is started.
    """

    name: str
    argv: Sequence[str]
    group: str
    cwd: str
    env: dict[str, str] = field(default_factory=dict, repr=False)
    needs: Sequence[str] = ()
    probe: str = ""
    port: int | None = None
    start_seconds: float = 120.0
    grace_seconds: float = 30.0
    stop_signal: str = "SIGTERM"

    @property
    def one_shot(self) -> bool:
        """Whether the process is a step that ends."""
        return not self.probe


def check(table: Iterable[Process]) -> list[Process]:
    """Return the table as a list.

    Raises:
        StackError: a name is there twice, a need is not in the table, or needs run in a circle.
    """
    rows = list(table)
    names = [row.name for row in rows]
    doubled = sorted({name for name in names if names.count(name) > 1})
    if doubled:
        raise StackError(f"two processes are named {', '.join(doubled)}")
    for row in rows:
        unknown = [need for need in row.needs if need not in names]
        if unknown:
            raise StackError(f"{row.name} needs {', '.join(unknown)}, which the table does not have")
    levels(rows)
    return rows


def levels(table: Sequence[Process]) -> list[list[str]]:
    """Names by depth of their needs, servers first; stopping goes through it backwards.

    Raises:
        StackError: needs run in a circle.
    """
    left = {row.name: set(row.needs) for row in table}
    found: list[list[str]] = []
    placed: set[str] = set()
    while left:
        level = [name for name, needs in left.items() if needs <= placed]
        if not level:
            raise StackError(f"these processes need each other in a circle: {', '.join(sorted(left))}")
        placed.update(level)
        found.append(level)
        for name in level:
            del left[name]
    return found


def save(table: Sequence[Process], path: Path) -> None:
    """Write the table for the supervisor; it carries secrets, so nobody else may read it."""
    write_private(path, json.dumps([asdict(row) for row in table], indent=1))


def load(path: Path) -> list[Process]:
    """Read a table that `save` wrote."""
    return check(Process(**row) for row in json.loads(path.read_text()))
