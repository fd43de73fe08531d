"""The one way in which this repository measures speed.

Cases run in interleaved rounds whose order turns round each time, so that a machine whose speed drifts slows all
of them alike. What is compared is CPU time per operation and ratios inside a round; medians are quoted, with the
smallest and largest round beside them. Wall time is printed but proves nothing on a shared machine.
"""

import asyncio
import os
import statistics
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


def process_cpu_seconds(pid: int) -> float:
    """User and system time that a process and its children that have ended have used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(int(fields[index]) for index in (11, 12, 13, 14)) / _TICKS


def process_memory_bytes(pid: int) -> int:
    """Resident memory of a process."""
    pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE")


@dataclass(slots=True)
class Case:
    """Something to measure: `run` does `operations` operations, or returns how many it did.

    `pids` are other processes that work for it; `with_own` says whether this process does as well.
    """

    run: Callable[[], Awaitable[int | None]]
    operations: int = 1
    pids: Sequence[int] = ()
    with_own: bool = True
    cpu: list[float] = field(default_factory=list)
    wall: list[float] = field(default_factory=list)

    def _used(self) -> float:
        own = time.process_time() if self.with_own else 0.0
        return own + sum(process_cpu_seconds(pid) for pid in self.pids)

    async def round(self) -> None:
        """Run once and keep the times, in seconds per operation."""
        cpu, wall = self._used(), time.perf_counter()
        operations = await self.run() or self.operations
        self.wall.append((time.perf_counter() - wall) / operations)
        self.cpu.append((self._used() - cpu) / operations)


async def compare(cases: Mapping[str, Case], rounds: int = 7) -> None:
    """Run all cases once to warm up, then `rounds` interleaved rounds."""
    order = list(cases.values())
    for case in order:
        await case.run()
    for number in range(rounds):
        for case in order if number % 2 == 0 else reversed(order):
            await case.round()
            await asyncio.sleep(0)


def spread(values: Sequence[float], scale: float = 1.0) -> str:
    """The median, and the smallest and largest value."""
    low, middle, high = min(values) * scale, statistics.median(values) * scale, max(values) * scale
    return f"{middle:.3g} ({low:.3g}-{high:.3g})"


def ratios_by_round(values: Sequence[float], base: Sequence[float]) -> list[float]:
    """Each value over the one that was measured in the same round."""
    return [value / other for value, other in zip(values, base, strict=True) if other]


def table(cases: Mapping[str, Case], baseline: str | None = None) -> str:
    """A Markdown table; ratios are of CPU time, taken round by round against `baseline` (default: the first case)."""
    base = cases[baseline or next(iter(cases))]
    lines = [
        "| case | CPU µs/op median (min-max) | wall µs/op | CPU ratio |",
        "| --- | --- | --- | --- |",
    ]
    for name, case in cases.items():
        ratios = ratios_by_round(case.cpu, base.cpu)
        ratio = spread(ratios) if ratios else "-"
        lines.append(f"| {name} | {spread(case.cpu, 1e6)} | {spread(case.wall, 1e6)} | {ratio} |")
    return "\n".join(lines)
