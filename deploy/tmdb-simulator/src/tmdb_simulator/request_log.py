"""The requests of TMDB clients, kept for tests that count calls."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from tmdb_simulator.catalogue import now

_KEPT: Final = 20_000


@dataclass(slots=True)
class LoggedRequest:
    """One request; `status` is None while it is not answered (slow, hanging or abandoned)."""

    time: str
    method: str
    path: str
    query: dict[str, str]
    conditional: bool
    faults: list[str] = field(default_factory=list)
    status: int | None = None


class RequestLog:
    """The latest 20,000 requests, oldest first, and how many there were in all."""

    def __init__(self) -> None:
        self._entries: deque[LoggedRequest] = deque(maxlen=_KEPT)
        self._total = 0

    def start(self, method: str, path: str, query: Mapping[str, str], *, conditional: bool) -> LoggedRequest:
        """Note a request as it arrives; the caller sets its status later. Keys are not kept."""
        shown = {key: "***" if key == "api_key" else value for key, value in query.items()}
        entry = LoggedRequest(
            time=now().isoformat().replace("+00:00", "Z"),
            method=method,
            path=path,
            query=shown,
            conditional=conditional,
        )
        self._entries.append(entry)
        self._total += 1
        return entry

    def clear(self) -> None:
        """Forget everything, the total included."""
        self._entries.clear()
        self._total = 0

    def describe(self, path: str = "", since: str = "") -> dict[str, Any]:
        """Counters and requests whose path begins with `path`, from the time `since` on.

        `total` counts every request since the last clearing, kept or not.
        """
        kept = [e for e in self._entries if e.path.startswith(path) and e.time >= since]
        return {
            "total": self._total,
            "count": len(kept),
            "by_path": dict(Counter(entry.path for entry in kept)),
            "by_status": dict(Counter(str(entry.status) for entry in kept)),
            "requests": [asdict(entry) for entry in kept],
        }
