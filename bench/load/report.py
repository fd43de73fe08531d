"""Tables of a run, in Markdown: times by route, and what each process spent."""

import json
import os
from collections import defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from locust.stats import RequestStats

from bench.harness import process_cpu_seconds


def stack_processes() -> dict[str, int]:
    """The process ids of the local stack by name; none when the suite runs elsewhere."""
    state = os.environ.get("STACK_STATE")
    if not state:
        return {}
    rows = json.loads((Path(state) / "state.json").read_text())["processes"]
    return {row["name"]: row["pid"] for row in rows if row["pid"] and row["state"] == "ready"}


def _group_cpu_seconds() -> dict[int, float]:
    """Processor time by process group: the broker, say, is a script that starts the program that works."""
    spent: dict[int, float] = defaultdict(float)
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            pid = int(folder.name)
            spent[os.getpgid(pid)] += process_cpu_seconds(pid)
    return spent


@dataclass(frozen=True, slots=True)
class Spent:
    """Processor time by process since a moment."""

    before: Mapping[str, float]

    @classmethod
    def now(cls) -> "Spent":
        groups = _group_cpu_seconds()
        return cls({name: groups[os.getpgid(pid)] for name, pid in stack_processes().items()})

    def since(self) -> dict[str, float]:
        """Seconds by process, for those that have run all the time."""
        now = Spent.now().before
        return {name: now[name] - used for name, used in self.before.items() if name in now}


def times_by_route(stats: RequestStats) -> str:
    """Requests, failures and percentiles in milliseconds by route, the most frequent first."""
    lines = ["| route | requests | failed | p50 ms | p95 ms | p99 ms |", "| --- | --- | --- | --- | --- | --- |"]
    for entry in [*sorted(stats.entries.values(), key=lambda e: -e.num_requests), stats.total]:
        p50, p95, p99 = (round(entry.get_response_time_percentile(share)) for share in (0.5, 0.95, 0.99))
        name = "all" if entry is stats.total else f"`{entry.name}`"
        lines.append(f"| {name} | {entry.num_requests} | {entry.num_failures} | {p50} | {p95} | {p99} |")
    return "\n".join(lines)


def spent_by_process(spent: Mapping[str, float], idle: Mapping[str, float], requests: int, seconds: float) -> str:
    """What each process used, the busiest first.

    `spent` is in seconds of processor time and `idle` in seconds a second: what polls, heartbeats and timers use
    without any request does not grow with the requests.
    """

    def row(name: str, used: float, without: float) -> str:
        caused = max(0.0, used - without * seconds) / requests * 1000
        return f"| {name} | {caused:.2f} | {used / seconds:.1%} | {without:.1%} |"

    lines = ["| process | CPU ms per request of the mix | share of a core | of it idle |", "| --- | --- | --- | --- |"]
    busiest = sorted(spent, key=lambda name: -spent[name])
    lines += [row(name, spent[name], idle.get(name, 0.0)) for name in busiest]
    lines.append(row("all", sum(spent.values()), sum(idle.get(name, 0.0) for name in spent)))
    return "\n".join(lines)
