"""Programs that the laboratory starts, signals and ends; never a process that it did not start."""

from __future__ import annotations

import contextlib
import os
import resource
import signal
import subprocess
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import httpx

from lab.guardian import guard_process
from localstack import probes


class Program:
    """One program through all its starts, its output in one log file."""

    def __init__(  # noqa: PLR0913 - what a program is made of
        self, name: str, argv: Sequence[str], environment: Mapping[str, str], log: Path, *, cwd: Path, probe: str = ""
    ) -> None:
        self.name = name
        self.log = log
        self.starts = 0
        self._argv = list(argv)
        self.environment = dict(environment)
        self._cwd = cwd
        self.probe = probe
        self._child: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._child is not None, f"{self.name} was never started"
        return self._child.pid

    @property
    def is_running(self) -> bool:
        return self._child is not None and self._child.poll() is None

    def start(self) -> Program:
        """Start it; a group of its own, so that its children can be ended with it."""
        assert not self.is_running, f"{self.name} is running already"
        with self.log.open("ab") as output:
            self._child = subprocess.Popen(
                self._argv,
                env=self.environment,
                cwd=self._cwd,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        guard_process(self._child.pid)
        self.starts += 1
        return self

    def wait_ready(self, seconds: float = 60) -> Program:
        """Return when its probe is answered."""
        deadline = time.monotonic() + seconds
        while not probes.passes(self.probe):
            assert self.is_running, f"{self.name} ended with {self.exit_code}:\n{self.tail()}"
            assert time.monotonic() < deadline, f"{self.name} is not ready:\n{self.tail()}"
            time.sleep(0.05)
        return self

    @property
    def is_ready(self) -> bool:
        """Whether its probe is answered now."""
        return self.is_running and probes.passes(self.probe)

    def readiness(self) -> dict[str, str]:
        """What each of its readiness checks says."""
        answer = httpx.get(str(httpx.URL(self.probe).copy_with(path="/readyz")), trust_env=False)
        checks: dict[str, str] = answer.json()["checks"]
        return checks

    @property
    def exit_code(self) -> int | None:
        return None if self._child is None else self._child.poll()

    def signal(self, number: signal.Signals) -> None:
        """Send a signal to it and its children."""
        if self.is_running:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)

    def kill(self) -> None:
        """SIGKILL, and wait."""
        self.signal(signal.SIGKILL)
        self.wait_end()

    def pause(self) -> None:
        """SIGSTOP: it is there and does nothing."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        self.signal(signal.SIGCONT)

    def terminate(self, seconds: float = 30) -> float:
        """SIGTERM to the program itself; returns how long it took to end."""
        began = time.monotonic()
        if self.is_running:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGTERM)
            self.wait_end(seconds)
        return time.monotonic() - began

    def wait_end(self, seconds: float = 30) -> int:
        """Its exit code."""
        assert self._child is not None
        try:
            return self._child.wait(seconds)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"{self.name} does not end:\n{self.tail()}") from None

    def end(self) -> None:
        """End it whatever state it is in, and all its children."""
        if self._child is None:
            return
        for number in (signal.SIGCONT, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._child.pid, number)
        self._child.wait(10)

    def tail(self, lines: int = 25) -> str:
        """The end of its log."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:]) if self.log.exists() else ""

    def open_files(self) -> int:
        """How many descriptors it holds."""
        return len(list(Path(f"/proc/{self.pid}/fd").iterdir()))

    def resident(self) -> int:
        """How many bytes of memory it holds."""
        fields = Path(f"/proc/{self.pid}/statm").read_text().split()
        return int(fields[1]) * resource.getpagesize()
