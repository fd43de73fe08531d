"""Every port of the stack, from one table."""

from __future__ import annotations

import errno
import fcntl
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path

from localstack import procfs
from localstack.errors import StackError

TABLE: Mapping[str, int] = {
    "mail-page": 8025,
    "mail-smtp": 8026,
    "gateway": 8080,
    "identity": 8101,
    "subscription": 8102,
    "catalog": 8103,
    "watch": 8104,
    "tmdb-simulator": 8105,
    "gateway-ops": 9080,
    "identity-worker": 9101,
    "subscription-worker": 9102,
    "catalog-worker": 9103,
    "watch-worker": 9104,
    "mariadb": 23306,
    "rabbitmq": 25672,
    "rabbitmq-management": 25673,
    "rabbitmq-distribution": 25674,
    "epmd": 25675,
    "mongo": 27217,
}
REPLICA_STEP = 10
# More replicas would run into the next family of ports (8105 + 10 * 9 < 9080, and the throw-away offsets).
MOST_REPLICAS = 10
# Linux hands out ports from here on to outgoing connections: a server there would clash by chance.
_EPHEMERAL_FROM = 32768
# Offsets of throw-away stacks: several may run on one machine, beside the lasting one at 0.
THROW_AWAY_OFFSETS = range(3000, 5500, 300)


class Ports:
    """Port numbers of one stack."""

    def __init__(self, offset: int = 0, settings: Mapping[str, str] | None = None) -> None:
        if max(TABLE.values()) + offset >= _EPHEMERAL_FROM or min(TABLE.values()) + offset < 1024:
            raise StackError(f"STACK_PORT_OFFSET={offset} leads outside the ports 1024 to {_EPHEMERAL_FROM - 1}")
        self.offset = offset
        self._settings = settings or {}

    def of(self, name: str, replica: int = 0) -> int:
        """The port of a name of the table; `STACK_PORT_<NAME>` moves one alone."""
        setting = "STACK_PORT_" + name.upper().replace("-", "_")
        own = self._settings.get(setting)
        if own and not own.isdecimal():
            raise StackError(f"{setting} is not a port: {own!r}")
        base = int(own) if own else TABLE[name] + self.offset
        return base + REPLICA_STEP * replica


def require_free(ports: Mapping[int, str]) -> None:
    """Check that nobody listens on the ports.

    Raises:
        StackError: names the port, what it is for and who has it.
    """
    for port, name in ports.items():
        if not procfs.port_is_free(port):
            raise StackError(
                f"port {port} ({name}) is taken by {procfs.port_owner(port)}; "
                f"stop it, or set STACK_PORT_OFFSET to move all ports"
            )


class OffsetClaim:
    """An offset that no other throw-away stack of this machine uses while the claim is held."""

    def __init__(self, offset: int, lock: int) -> None:
        self.offset = offset
        self._lock = lock

    def release(self) -> None:
        """Let others have the offset."""
        os.close(self._lock)


def claim_offset() -> OffsetClaim:
    """Take the first offset whose ports are free.

    Raises:
        StackError: all are in use.
    """
    for offset in THROW_AWAY_OFFSETS:
        lock = _try_lock(Path(tempfile.gettempdir()) / f"movie-suite-ports-{offset}.lock")
        if lock is None:
            continue
        if all(procfs.port_is_free(port + offset) for port in TABLE.values()):
            return OffsetClaim(offset, lock)
        os.close(lock)
    raise StackError("all offsets for throw-away stacks are in use: wait until another test run has ended")


def _try_lock(path: Path) -> int | None:
    try:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except PermissionError:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if error.errno not in (errno.EAGAIN, errno.EACCES):
            raise
        return None
    return descriptor
