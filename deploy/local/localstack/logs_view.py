"""Show log files, each line behind the name of its process."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from pathlib import Path

_POLL_SECONDS = 0.3
# Names of processes in turn, so that neighbours differ on a terminal.
_COLOURS = (36, 33, 32, 35, 34, 31, 96, 93, 92, 95, 94, 91)


class _File:
    def __init__(self, path: Path, lines: int) -> None:
        self.path = path
        content = path.read_bytes()
        self.position = len(content)
        self.begin = content.decode(errors="replace").splitlines()[-lines:] if lines else []

    def more(self) -> Iterator[str]:
        """Whole lines that have come since."""
        size = self.path.stat().st_size if self.path.exists() else 0
        if size < self.position:
            # The supervisor has put the full file away and begun another.
            self.position = 0
        if size > self.position:
            with self.path.open("rb") as file:
                file.seek(self.position)
                new = file.read(size - self.position)
            whole = new[: new.rfind(b"\n") + 1]
            self.position += len(whole)
            yield from whole.decode(errors="replace").splitlines()


def show(paths: list[Path], lines: int, *, follow: bool) -> None:
    """Print the last `lines` of each file and, with `follow`, what comes until the user stops it."""
    files = [_File(path, lines) for path in paths]
    width = max(len(path.stem) for path in paths)
    prefixes = [_prefix(path.stem, width, number) if len(paths) > 1 else "" for number, path in enumerate(paths)]
    for file, prefix in zip(files, prefixes, strict=True):
        for line in file.begin:
            print(prefix + line)
    while follow:
        sys.stdout.flush()
        time.sleep(_POLL_SECONDS)
        for file, prefix in zip(files, prefixes, strict=True):
            for line in file.more():
                print(prefix + line)


def _prefix(name: str, width: int, number: int) -> str:
    if not sys.stdout.isatty():
        return f"{name:<{width}} | "
    return f"\x1b[{_COLOURS[number % len(_COLOURS)]}m{name:<{width}}\x1b[0m | "
