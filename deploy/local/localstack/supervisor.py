"""The process that starts, watches, restarts and stops all others."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

from localstack import probes, process, procfs
from localstack.process import Process
from localstack.state import State, Status

_PROBE_SECONDS = 0.1
_FIRST_DELAY_SECONDS = 0.5
_LONGEST_DELAY_SECONDS = 15.0
# A process that ran this long did not fail at its start: its next restart is quick again.
_STEADY_SECONDS = 60.0
# A process that has never been ready and ends this often does not get ready by trying again.
_STARTS_BEFORE_GIVING_UP = 3
_LOG_BYTES = 20 * 1024 * 1024
_LOG_CHECK_SECONDS = 30.0


class Unit:
    """One process of the table through all its starts."""

    def __init__(self, spec: Process, supervisor: Supervisor) -> None:
        self.spec = spec
        self.status = Status(name=spec.name, group=spec.group, port=spec.port, probe=spec.probe)
        self.was_ready = asyncio.Event()
        self._supervisor = supervisor
        self._child: asyncio.subprocess.Process | None = None

    async def keep(self) -> None:
        """Run the process for as long as the stack runs."""
        for need in self.spec.needs:
            await self._supervisor.units[need].was_ready.wait()
        delay = _FIRST_DELAY_SECONDS
        starts = 0
        while True:
            await self._released()
            began = time.monotonic()
            code = await self._run()
            starts += 1
            if self.spec.one_shot and code == 0:
                self._set("done", ready_after=self._supervisor.age())
                self.was_ready.set()
                return
            if not self.was_ready.is_set() and (self.spec.one_shot or starts >= _STARTS_BEFORE_GIVING_UP):
                self._supervisor.fail(f"{self.spec.name} ended with {code}")
                self._set("failed")
                return
            if self._held:
                continue
            delay = _FIRST_DELAY_SECONDS if time.monotonic() - began > _STEADY_SECONDS else delay
            self.status.restarts += 1
            self._set("backoff", detail=f"ended with {code}, again in {delay:g} s")
            await asyncio.sleep(delay)
            delay = min(delay * 2, _LONGEST_DELAY_SECONDS)

    async def _released(self) -> None:
        while self._held:
            if self.status.state != "stopped":
                self._set("stopped")
            await asyncio.sleep(_PROBE_SECONDS)

    @property
    def _held(self) -> bool:
        return (self._supervisor.state.held / self.spec.name).exists()

    async def _run(self) -> int:
        """Start the process and wait for its end; returns its exit code (127 if it cannot be started)."""
        log = self._supervisor.state.log(self.spec.name)
        try:
            with log.open("ab") as output:
                self._child = await asyncio.create_subprocess_exec(
                    *self.spec.argv,
                    env=self.spec.env,
                    cwd=self.spec.cwd,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
        except OSError as error:
            log.write_text(f"{self.spec.argv[0]}: {error.strerror}\n")
            return 127
        self.status.pid = self._child.pid
        self.status.started = procfs.start_time(self._child.pid)
        self._set("starting")
        watcher = asyncio.create_task(self._watch())
        code = await self._child.wait()
        watcher.cancel()
        # Children of a killed process would keep its port and its files.
        _signal_group(self._child.pid, signal.SIGKILL)
        self._child = None
        self.status.pid = self.status.started = None
        self.status.exit_code = code
        return code

    async def _watch(self) -> None:
        if self.spec.one_shot:
            return
        began = time.monotonic()
        while not await asyncio.to_thread(probes.passes, self.spec.probe):
            if time.monotonic() - began > self.spec.start_seconds and not self.was_ready.is_set():
                self._supervisor.fail(f"{self.spec.name} is not ready after {self.spec.start_seconds:g} s")
                return
            await asyncio.sleep(_PROBE_SECONDS)
        if not self.was_ready.is_set():
            self.status.ready_after = self._supervisor.age()
        self._set("ready")
        self.was_ready.set()

    async def stop(self) -> None:
        """Ask the process to end, wait for its grace, then kill its group."""
        child = self._child
        if child is None:
            return
        self._set("stopping")
        with contextlib.suppress(ProcessLookupError):
            child.send_signal(signal.Signals[self.spec.stop_signal])
        deadline = time.monotonic() + self.spec.grace_seconds
        # The child's own end could be awaited; the rest of its group can only be asked for.
        while procfs.group_alive(child.pid) and time.monotonic() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        _signal_group(child.pid, signal.SIGKILL)
        await child.wait()

    def _set(self, state: str, detail: str = "", ready_after: float | None = None) -> None:
        self.status.state = state
        self.status.detail = detail
        if ready_after is not None:
            self.status.ready_after = ready_after
        self._supervisor.write()


class Supervisor:
    """Keeps the table running until it is told to stop."""

    def __init__(self, state: State, table: list[Process]) -> None:
        self.state = state
        self.table = table
        self.units = {row.name: Unit(row, self) for row in table}
        self._began = time.monotonic()
        self._failure = ""

    def age(self) -> float:
        """Seconds since the supervisor started."""
        return round(time.monotonic() - self._began, 1)

    def write(self) -> None:
        """Write the state file; without its folder nobody asks for it any more."""
        if self.state.path.is_dir():
            self.state.write((unit.status for unit in self.units.values()), self._failure)

    def fail(self, why: str) -> None:
        """Note that the stack cannot become ready; the command that started it decides what to do."""
        self._failure = self._failure or why
        self.write()

    async def run(self, stop: asyncio.Event) -> None:
        """Run everything until `stop` is set, then stop in reverse order."""
        keepers = {name: asyncio.create_task(unit.keep()) for name, unit in self.units.items()}
        logs = asyncio.create_task(_bound_logs(self.state.logs))
        await stop.wait()
        logs.cancel()
        for level in reversed(process.levels(self.table)):
            # A keeper is ended only after its process: it is the one that waits for the child.
            for name in level:
                # The folder may be gone already; the processes have to go all the same.
                with contextlib.suppress(OSError):
                    (self.state.held / name).touch()
            await asyncio.gather(*(self.units[name].stop() for name in level))
            for name in level:
                keepers[name].cancel()
        await asyncio.gather(*keepers.values(), return_exceptions=True)


def cut_logs(folder: Path) -> None:
    """Keep each log below its size, with one older part beside it."""
    for log in folder.glob("*.log"):
        if log.stat().st_size > _LOG_BYTES:
            # Cut, not renamed: the process goes on writing, at the end, into the file that it has open.
            shutil.copyfile(log, log.with_suffix(".log.1"))
            os.truncate(log, 0)


async def _bound_logs(folder: Path) -> None:
    while True:
        await asyncio.to_thread(cut_logs, folder)
        await asyncio.sleep(_LOG_CHECK_SECONDS)


def _signal_group(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


async def _supervise(state: State, tether: int | None) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    if tether is not None:
        # The other end belongs to the command that wanted the stack: when it dies, by whatever
        # means, the pipe is closed and the stack ends with it.
        loop.add_reader(tether, stop.set)
    supervisor = Supervisor(state, process.load(state.table))
    supervisor.write()
    state.write_supervisor()
    try:
        await supervisor.run(stop)
    finally:
        state.forget_supervisor()


def main(arguments: list[str]) -> None:
    """Entry of the background process: state folder and, optionally, the descriptor of the tether."""
    if os.fork():
        # Nobody's child from here on: the command that started the stack ends, the stack stays.
        os._exit(0)
    tether = int(arguments[1]) if len(arguments) > 1 else None
    asyncio.run(_supervise(State(Path(arguments[0])), tether))


if __name__ == "__main__":
    main(sys.argv[1:])
