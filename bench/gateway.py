"""The gateway beside nginx, haproxy and the usual Python gateway, in one run.

`make bench-gateway` installs what it needs (Debian's nginx-light, haproxy and wrk) and starts it; by hand:

    python -m bench.gateway [--rounds 7] [--seconds 3]

Every server is one process in front of the same upstream (nginx, 2.3 KB from memory), warmed, and loaded by wrk with
500 access tokens in turn over kept connections. Rounds are interleaved; ratios are taken inside a round. The broker
is the one of `STACK_AMQP_URL`, if set.
"""

# ruff: noqa: T201 - it reports to the person who runs it

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench import wrk
from bench.contenders import Contender, all_contenders
from bench.harness import Case, compare, process_cpu_seconds, ratios_by_round, spread
from chassis.testing.tokens import TokenIssuer

TARGET = "/v1/movies?pageNumber=1&pageSize=20&genreIds=28,35"
TOKENS = 500
OURS, NGINX, HAPROXY, NAIVE = "gateway", "nginx", "haproxy, ES256", "FastAPI + httpx"
# Requests that one process has answered before its memory is read a second time.
MANY = 100_000


@dataclass
class Lane:
    """One contender under one load, and what wrk saw in each round."""

    contender: Contender
    load: wrk.Load
    folder: Path
    everybody: Sequence[Contender]
    seen: list[wrk.Seen] = field(default_factory=list)
    case: Case = field(init=False)

    def __post_init__(self) -> None:
        self.case = Case(self._run, pids=self.contender.pids, with_own=False)

    async def _run(self) -> int:
        await idle(self.everybody)
        seen = await wrk.run(self.contender.url, self.load, self.folder)
        self.seen.append(seen)
        return seen.requests

    def column(self, name: str) -> list[float]:
        """A figure of each measured round; the first run only warmed up."""
        return [float(getattr(seen, name)) for seen in self.seen[1:]]


async def idle(contenders: Sequence[Contender]) -> None:
    """Wait until nobody works any more at what a former load has left."""

    def used() -> float:
        return sum(process_cpu_seconds(pid) for contender in contenders for pid in contender.pids)

    before = -1.0
    while (now := used()) - before > 0.01:
        before = now
        await asyncio.sleep(0.1)


async def measured(contenders: Mapping[str, Contender], load: wrk.Load, folder: Path, rounds: int) -> dict[str, Lane]:
    """All of them under `load`, in interleaved rounds."""
    lanes = {name: Lane(one, load, folder, list(contenders.values())) for name, one in contenders.items()}
    await compare({name: lane.case for name, lane in lanes.items()}, rounds)
    return lanes


def print_table(title: str, lanes: Mapping[str, Lane]) -> None:
    print(f"\n{title}\n")
    print("| server | CPU µs a request | CPU, nginx = 1 | requests/s | p50 ms | p99 ms | failed | memory MB |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    for name, lane in lanes.items():
        ratio = spread(ratios_by_round(lane.case.cpu, lanes[NGINX].case.cpu))
        rate, p50, p99 = (statistics.median(lane.column(column)) for column in ("rate", "p50", "p99"))
        failed = sum(seen.failed for seen in lane.seen)
        print(
            f"| {name} | {spread(lane.case.cpu, 1e6)} | {ratio} | {rate:,.0f} | {p50:.3g} | {p99:.3g} | {failed} | "
            f"{lane.contender.memory_megabytes():.0f} |"
        )


def ratio(lanes: Mapping[str, Lane], other: str) -> float:
    """The gateway's CPU a request over that of `other`: the median over the rounds."""
    return statistics.median(ratios_by_round(lanes[OURS].case.cpu, lanes[other].case.cpu))


def speed_up(lanes: Mapping[str, Lane]) -> float:
    """Its throughput over that of the usual Python gateway."""
    return statistics.median(ratios_by_round(lanes[OURS].column("rate"), lanes[NAIVE].column("rate")))


def added_p50(lanes: Mapping[str, Lane], name: str) -> float:
    """Milliseconds that a server in between adds: the median over the rounds."""
    pairs = zip(lanes[name].column("p50"), lanes["direct"].column("p50"), strict=True)
    return statistics.median(through - direct for through, direct in pairs)


async def many_requests(gateway: Contender, load: wrk.Load, folder: Path) -> None:
    """Let the process answer `MANY` requests, however long that takes."""
    answered = 0
    while answered < MANY:
        seen = await wrk.run(gateway.url, load, folder)
        answered += seen.requests - seen.failed


async def main(rounds: int, seconds: float) -> None:
    issuer = TokenIssuer()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        tokens = folder / "tokens"

        def load(connections: int, pause_ms: int = 0) -> wrk.Load:
            # Anew for each comparison: a long run must not outlive its tokens.
            tokens.write_text("\n".join(issuer.token(exp=int(time.time()) + 900) for _ in range(TOKENS)))
            return wrk.Load(TARGET, tokens, connections, seconds, pause_ms)

        async with all_contenders(folder, issuer) as contenders:
            gateway = contenders[OURS]
            at_start = gateway.memory_megabytes()
            c32 = await measured(contenders, load(32), folder, rounds)
            print_table("32 connections", c32)
            c128 = await measured(contenders, load(128), folder, rounds)
            after_128 = gateway.memory_megabytes()
            print_table("128 connections", c128)
            c1 = await measured(contenders, load(1), folder, rounds)
            print_table("1 connection", c1)
            steady = await measured(contenders, load(4, pause_ms=10), folder, rounds)
            rate = statistics.median(steady["direct"].column("rate"))
            print_table(f"4 connections that pause 10 ms: {rate:.0f} requests/s", steady)
            await many_requests(gateway, load(128), folder)
            after_many = gateway.memory_megabytes()
        print("\n| bar | figure | at most or least |\n| --- | --- | --- |")
        for text, figure, bar in (
            ("CPU a request, nginx without authentication = 1", f"{ratio(c32, NGINX):.2f}", "≤ 3.5"),
            ("CPU a request, haproxy verifying ES256 = 1", f"{ratio(c32, HAPROXY):.2f}", "≤ 0.9"),
            ("CPU a request, FastAPI + httpx = 1", f"1/{1 / ratio(c32, NAIVE):.0f}", "≤ 1/40"),
            ("throughput at 32 connections, FastAPI + httpx = 1", f"{speed_up(c32):.0f}", "≥ 30"),
            ("throughput at 128 connections, FastAPI + httpx = 1", f"{speed_up(c128):.0f}", "≥ 35"),
            (
                "added p50 with 1 connection, nginx's = 1",
                f"{added_p50(c1, OURS) / added_p50(c1, NGINX):.1f} ({added_p50(c1, OURS):.2f} ms)",
                "≤ 4",
            ),
            (f"added p50 at {rate:.0f} requests/s", f"{added_p50(steady, OURS):.2f} ms", ""),
            ("memory after 128 connections", f"{after_128:.0f} MB", "≤ 64 MB"),
            (f"memory at the start, after {MANY:,} requests more", f"{at_start:.0f} MB, {after_many:.0f} MB", ""),
        ):
            print(f"| {text} | {figure} | {bar} |")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Compare the gateway with others")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--seconds", type=float, default=3)
    options = parser.parse_args()
    asyncio.run(main(options.rounds, options.seconds))
