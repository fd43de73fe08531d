"""The addresses of one service: found by name, taken in turn, left out for a while when they fail."""

import asyncio
import logging
import socket
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

_log = logging.getLogger(__name__)

_FIRST_EJECTION_SECONDS = 0.5
_LONGEST_EJECTION_SECONDS = 15.0
_BREAKS_BEFORE_EJECTION = 3


@dataclass(slots=True, eq=False)
class Endpoint:
    """One address of a service. `is_retired` says that its name no longer leads there."""

    host: str
    port: int
    host_line: bytes
    is_retired: bool = False
    ejected_until: float = 0.0
    _failures: int = 0

    def unreachable(self, now: float) -> None:
        """It could not be connected to: leave it out, longer each time.

        Many requests may find out at the same moment; that is one time.
        """
        if now < self.ejected_until:
            return
        pause = min(_FIRST_EJECTION_SECONDS * 2**self._failures, _LONGEST_EJECTION_SECONDS)
        self._failures += 1
        self.ejected_until = now + pause

    def broke(self, now: float) -> None:
        """It broke off or stayed silent: leave it out when that happens repeatedly."""
        self._failures += 1
        if self._failures >= _BREAKS_BEFORE_EJECTION:
            self.ejected_until = now + _FIRST_EJECTION_SECONDS

    def answered(self) -> None:
        if self._failures:
            self._failures = 0
            self.ejected_until = 0.0


def _parse(url: str) -> tuple[str, int, bytes]:
    parts = urlsplit(url)
    if parts.scheme != "http" or not parts.hostname or parts.path not in ("", "/") or parts.username:
        raise ValueError(f"not the base URL of a service: {url}")
    return parts.hostname, parts.port or 80, b"host: " + parts.netloc.encode() + b"\r\n"


class Balancer:
    """Chooses the address for the next request."""

    def __init__(self, name: str, urls: Sequence[str]) -> None:
        """`urls` are base URLs (`http://host:port`). Raises `ValueError`."""
        self._name = name
        self._targets = [_parse(url) for url in urls]
        self._next = 0
        self.endpoints: list[Endpoint] = []

    async def refresh(self) -> None:
        """Look the names up again: every address of every name, retiring those that are gone.

        A name that cannot be resolved keeps the addresses it had.
        """
        loop = asyncio.get_running_loop()
        known = {(endpoint.host, endpoint.port): endpoint for endpoint in self.endpoints}
        found: dict[tuple[str, int], Endpoint] = {}
        for host, port, host_line in self._targets:
            try:
                answers = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
            except OSError as error:
                _log.warning(
                    "name of an upstream not resolved",
                    extra={"upstream": self._name, "host": host, "reason": str(error)},
                )
                found.update({key: old for key, old in known.items() if old.host_line == host_line})
                continue
            for *_, address in sorted(answers, key=lambda answer: str(answer[4])):
                key = (str(address[0]), int(address[1]))
                found.setdefault(key, known.get(key) or Endpoint(*key, host_line))
        for key, endpoint in known.items():
            if key not in found:
                endpoint.is_retired = True
        self.endpoints = list(found.values())

    def pick(self, now: float, avoid: Collection[Endpoint] = ()) -> Endpoint | None:
        """The next address in turn that is not left out; None when there is none besides those to `avoid`.

        When all are left out, the one that comes back first: not trying at all is the breaker's decision.
        """
        endpoints = self.endpoints
        count = len(endpoints)
        fallback: Endpoint | None = None
        for _ in range(count):
            self._next = (self._next + 1) % count
            endpoint = endpoints[self._next]
            if endpoint in avoid:
                continue
            if endpoint.ejected_until <= now:
                return endpoint
            if fallback is None or endpoint.ejected_until < fallback.ejected_until:
                fallback = endpoint
        return fallback

    def leave_out(self, endpoint: Endpoint, avoid: list[Endpoint]) -> bool:
        """Add `endpoint` to those that a request is to `avoid` at its next try; whether there is another to try."""
        avoid.append(endpoint)
        if all(other in avoid for other in self.endpoints):
            # The first of them may be back while services restart in turn.
            avoid[:] = [other for other in self.endpoints if other is endpoint and len(self.endpoints) > 1]
        return any(other is not endpoint for other in self.endpoints)

    def healthy(self, now: float) -> int:
        """How many addresses take part."""
        return sum(endpoint.ejected_until <= now for endpoint in self.endpoints)
