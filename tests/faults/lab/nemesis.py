"""Somebody who breaks one thing after another, by a seed."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence

from lab.processes import Program
from lab.proxy import TO_CLIENT, TO_SERVER, Proxy
from lab.servers import Servers

_SERVERS = ("rabbitmq", "mariadb", "mongo")


class Nemesis:
    """Faults that last some seconds each; at most one at a time, so that a failure has one cause.

    `replicas` are groups of programs that do the same; each group is chosen equally often.
    """

    def __init__(
        self, servers: Servers, replicas: Sequence[Sequence[Program]], links: Mapping[str, Proxy], seed: int
    ) -> None:
        self._servers = servers
        self._replicas = replicas
        self._links = links
        self._random = random.Random(seed)
        self.done: dict[str, int] = {}
        self.log: list[str] = []

    def run(self, seconds: float) -> None:
        """Break and mend until the time is over; the choice of faults depends on the seed alone."""
        deadline = time.monotonic() + seconds
        faults: list[Callable[[], str]] = [
            self._kill_replica,
            self._kill_replica,
            self._freeze_replica,
            self._kill_server,
            self._reset_link,
            self._blackhole_link,
            self._cut_link,
        ]
        while time.monotonic() < deadline:
            fault = self._random.choice(faults)
            what = fault()
            self.log.append(f"{fault.__name__.lstrip('_')} {what}")
            self.done[fault.__name__.lstrip("_")] = self.done.get(fault.__name__.lstrip("_"), 0) + 1
            time.sleep(self._random.uniform(0.5, 1.5))

    def heal(self) -> None:
        """Mend everything that may still be broken, and wait until those that can say so are ready."""
        for link in self._links.values():
            link.heal()
        for program in (program for group in self._replicas for program in group):
            program.resume()
            if program.probe:
                program.wait_ready()

    def _replica(self) -> Program:
        return self._random.choice(self._random.choice(self._replicas))

    def _link(self) -> str:
        return self._random.choice(list(self._links))

    def _kill_replica(self) -> str:
        program = self._replica()
        program.kill()
        time.sleep(self._random.uniform(0.2, 1))
        program.start()
        return program.name

    def _freeze_replica(self) -> str:
        program = self._replica()
        program.pause()
        time.sleep(self._random.uniform(1, 5))
        program.resume()
        return program.name

    def _kill_server(self) -> str:
        name = self._random.choice(_SERVERS)
        self._servers[name].kill()
        time.sleep(self._random.uniform(0.2, 2))
        self._servers.restart(name)
        return name

    def _reset_link(self) -> str:
        name = self._link()
        for _ in range(3):
            self._links[name].reset()
            time.sleep(0.3)
        return name

    def _blackhole_link(self) -> str:
        name = self._link()
        directions = self._random.choice([{TO_SERVER}, {TO_CLIENT}, {TO_SERVER, TO_CLIENT}])
        self._links[name].blackhole(frozenset(directions))
        time.sleep(self._random.uniform(2, 6))
        self._links[name].heal()
        return name

    def _cut_link(self) -> str:
        name = self._link()
        self._links[name].cut_after(self._random.randrange(1, 4000))
        time.sleep(1)
        return name
