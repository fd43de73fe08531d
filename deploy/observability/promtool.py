"""Prometheus' own checker: that of the machine, else that of Debian's package, unpacked and not installed."""

from __future__ import annotations

import fcntl
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[2]
_TOOLS = _ROOT / ".local" / "tools" / "prometheus"
_PACKAGE = "prometheus"


class PromtoolMissingError(Exception):
    """There is no promtool here, and no way to get one."""


def promtool() -> str:
    """The path of promtool, fetched if need be. Raises `PromtoolMissingError`."""
    if found := shutil.which("promtool"):
        return found
    own = _TOOLS / "usr" / "bin" / "promtool"
    _TOOLS.parent.mkdir(parents=True, exist_ok=True)
    with (_TOOLS.parent / "prometheus.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not own.exists():
            _unpack()
    return str(own)


def _unpack() -> None:
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise PromtoolMissingError("promtool is not on PATH, and this is no Debian to take it from")
    with tempfile.TemporaryDirectory() as folder:
        if not _download(folder):
            # The lists may be missing or older than the archive.
            subprocess.run(["apt-get", "-q", "update"], capture_output=True, check=False)
            if not _download(folder):
                raise PromtoolMissingError(f"apt-get download {_PACKAGE} failed")
        draft = Path(folder) / "unpacked"
        (package,) = Path(folder).glob("*.deb")
        subprocess.run(["dpkg-deb", "--extract", str(package), str(draft)], check=True)
        shutil.rmtree(_TOOLS, ignore_errors=True)
        (_TOOLS / "usr" / "bin").mkdir(parents=True)
        # Of a hundred megabytes only this one is needed. It comes last, because its presence means that all is done.
        shutil.move(draft / "usr" / "bin" / "promtool", _TOOLS / "usr" / "bin" / "promtool")


def _download(folder: str) -> bool:
    command = ["apt-get", "-q", "download", _PACKAGE]
    return subprocess.run(command, cwd=folder, capture_output=True, check=False).returncode == 0


if __name__ == "__main__":
    try:
        program = promtool()
    except PromtoolMissingError as error:
        sys.exit(str(error))
    sys.exit(subprocess.run([program, *sys.argv[1:]], check=False).returncode)
