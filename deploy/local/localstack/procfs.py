"""What Linux tells about processes and ports, read from /proc."""

from __future__ import annotations

import contextlib
import errno
import os
import socket
from pathlib import Path

_PROC = Path("/proc")
_PAGE = os.sysconf("SC_PAGE_SIZE")
_LISTEN = "0A"


def _stat(pid: int) -> list[str] | None:
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The command name may hold blanks and brackets; the fields begin behind its last bracket.
    return text.rpartition(")")[2].split()


def start_time(pid: int) -> int | None:
    """Clock ticks after boot at which `pid` started: with it, a reused process id is not mistaken for ours."""
    fields = _stat(pid)
    return None if fields is None or fields[0] == "Z" else int(fields[19])


def is_same(pid: int, started: int | None) -> bool:
    """Whether the process that once had `pid` and `started` is still alive."""
    return started is not None and start_time(pid) == started


def _all_pids() -> list[int]:
    return [int(entry.name) for entry in _PROC.iterdir() if entry.name.isdigit()]


def group_memory() -> dict[int, int]:
    """Resident bytes of every process group: a server's children count with it."""
    found: dict[int, int] = {}
    for pid in _all_pids():
        fields = _stat(pid)
        if fields is not None:
            group = int(fields[2])
            found[group] = found.get(group, 0) + int(fields[21]) * _PAGE
    return found


def proportional_memory(groups: set[int]) -> int:
    """Bytes of all processes of the groups, a page that several share counted once among them (Linux' PSS)."""
    total = 0
    for pid in _all_pids():
        fields = _stat(pid)
        if fields is not None and int(fields[2]) in groups:
            # It may have ended, or belong to another user.
            with contextlib.suppress(OSError):
                lines = (_PROC / str(pid) / "smaps_rollup").read_text().splitlines()
                total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return total


def group_alive(group: int) -> bool:
    """Whether a process of the group lives; a zombie does not."""
    for pid in _all_pids():
        fields = _stat(pid)
        if fields is not None and int(fields[2]) == group and fields[0] != "Z":
            return True
    return False


def port_is_free(port: int) -> bool:
    """Whether a server of ours could listen on the loopback port."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
    return True


def port_owner(port: int) -> str:
    """A description of the process that listens on `port`."""
    wanted = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    for pid in _all_pids():
        if wanted & _open_files(pid):
            command = (_PROC / str(pid) / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
            return f"process {pid} ({command.strip()[:120]})"
    return "a process of another user"


def _open_files(pid: int) -> set[str]:
    found = set()
    with contextlib.suppress(OSError):
        for entry in (_PROC / str(pid) / "fd").iterdir():
            # A file may be closed while the list is read.
            with contextlib.suppress(FileNotFoundError):
                found.add(str(entry.readlink()))
    return found


def _listening_inodes(port: int) -> set[str]:
    found = set()
    for table in ("tcp", "tcp6"):
        path = _PROC / "net" / table
        lines = path.read_text().splitlines()[1:] if path.exists() else []
        for line in lines:
            fields = line.split()
            if fields[3] == _LISTEN and int(fields[1].rpartition(":")[2], 16) == port:
                found.add(fields[9])
    return found
