"""Security events of a service: what was refused, to whom, from where (OWASP ASVS 5.0, 16.3.2 and 16.3.3).

One structured line of the logger `security` for every refusal of input, credentials, permission or rate. A line holds
only what we have named ourselves, error codes and names of inputs, and nothing that the client wrote: neither values
nor member names that no route knows, because people paste passwords into the wrong place.
"""

import logging
import re
import time
from collections.abc import Callable, Iterable
from typing import Any

from starlette.requests import Request

from chassis.errors import Kind, ServiceError

_log = logging.getLogger("security")

REFUSALS = frozenset(
    {
        Kind.MALFORMED,
        Kind.INVALID,
        Kind.UNSUPPORTED_MEDIA_TYPE,
        Kind.TOO_LARGE,
        Kind.UNAUTHENTICATED,
        Kind.FORBIDDEN,
        Kind.THROTTLED,
    }
)
_UNKNOWN = "?"
_MAX_INPUTS = 10
_SEPARATORS = re.compile(r"([/.])")


def known_inputs(pointers: Iterable[str], names: frozenset[str]) -> list[str]:
    """`pointers` without what is not in `names`: list positions become `*`, all else that a client made up `?`."""

    def shown(part: str) -> str:
        if part in names or part in ("", "/", "."):
            return part
        return "*" if part.isdigit() else _UNKNOWN

    return sorted({"".join(map(shown, _SEPARATORS.split(pointer))) for pointer in pointers})[:_MAX_INPUTS]


class Budget:
    """How many lines may be written: `burst` at once and `per_second` in the long run (a token bucket)."""

    def __init__(self, per_second: float, burst: int, now: Callable[[], float]) -> None:
        self._per_second = per_second
        self._burst = burst
        self._now = now
        self._left = float(burst)
        self._at = now()
        self._left_out = 0

    def take(self) -> int | None:
        """How many were left out since the last line, or None when this one has to be left out as well."""
        moment = self._now()
        self._left = min(self._burst, self._left + (moment - self._at) * self._per_second)
        self._at = moment
        if self._left < 1:
            self._left_out += 1
            return None
        self._left -= 1
        left_out, self._left_out = self._left_out, 0
        return left_out


class SecurityEvents:
    """Writes the security events of one process.

    Each kind of refusal has a budget of its own, so that a flood of one neither fills the disk nor hides another.
    """

    def __init__(
        self, *, per_second: float = 10.0, burst: int = 100, now: Callable[[], float] = time.monotonic
    ) -> None:
        self._budgets = {kind: Budget(per_second, burst, now) for kind in REFUSALS}

    def record(self, error: ServiceError, request: Request) -> None:
        """Log that `request` was answered with `error`, if that is a refusal and within the budget."""
        budget = self._budgets.get(error.kind)
        if budget is None or (left_out := budget.take()) is None:
            return
        route: Any = request.scope.get("route")
        names: frozenset[str] = getattr(route, "input_names", frozenset())
        event: dict[str, Any] = {
            "code": error.code,
            "method": request.method,
            "route": getattr(route, "path", "unmatched"),
            "ip": request.client.host if request.client else None,
            "userId": getattr(request.state, "user_id", None),
        }
        if error.errors:
            event["inputs"] = known_inputs((refused.pointer for refused in error.errors), names)
        if left_out:
            event["leftOut"] = left_out
        _log.info("request refused", extra=event)
