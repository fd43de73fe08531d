"""Faults: which there are, which requests they apply to and for how long."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from tmdb_simulator.errors import BY_STATUS


class FaultError(ValueError):
    """A fault was described in a way that cannot be carried out."""


def _is_integer(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_count(value: Any) -> bool:
    return _is_integer(value) and value > 0


def _is_seconds(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= 3600


def _is_error_status(value: Any) -> bool:
    return value in BY_STATUS


def _is_http_status(value: Any) -> bool:
    return _is_integer(value) and 200 <= value <= 599 and value not in (204, 304)


def _is_retry_after(value: Any) -> bool:
    printable = isinstance(value, str) and value.isascii() and value.isprintable()
    return value is None or printable or (_is_integer(value) and value >= 0)


def _is_genre_names(value: Any) -> bool:
    return isinstance(value, dict) and all(key.isdigit() and isinstance(name, str) for key, name in value.items())


def _is_genre(value: Any) -> bool:
    return isinstance(value, dict) and set(value) == {"id", "name"}


@dataclass(frozen=True, slots=True)
class _Option:
    default: Any
    is_valid: Callable[[Any], bool]


KINDS: Final[Mapping[str, Mapping[str, _Option]]] = {
    # answers instead of the true one
    "error": {
        "status": _Option(500, _is_error_status),
        "retry_after": _Option(None, _is_retry_after),
    },
    "html": {"status": _Option(502, _is_http_status)},
    "slow": {"seconds": _Option(5, _is_seconds)},
    "hang": {"after_headers": _Option(False, lambda value: isinstance(value, bool))},
    # the true answer, changed in its meaning
    "malformed-rows": {"every": _Option(3, _is_count)},
    "genre-ids-missing": {"every": _Option(1, _is_count)},
    "genre-ids-object": {"every": _Option(1, _is_count)},
    "duplicated-rows": {"rows": _Option(3, _is_count)},
    "drifting-pages": {"shift": _Option(1, _is_integer)},
    "genres-empty": {},
    "genres-shrunken": {"keep": _Option(5, _is_count)},
    "genres-renamed": {"names": _Option({"878": "Sci-Fi"}, _is_genre_names)},
    "genres-extra": {"genre": _Option({"id": 10769, "name": "Foreign"}, _is_genre)},
    # the true answer, broken in its bytes
    "gzip-without-header": {},
    "truncated-json": {},
}
_REPLACING: Final = frozenset({"error", "html", "hang"})
_SCOPE: Final = ("kind", "path", "query", "skip", "count")


@dataclass(slots=True)
class Fault:
    """A fault switched on.

    It applies to requests whose path begins with `path` and whose query holds every pair of
    `query`: the first `skip` of them are spared, then `count` are hit, or all when it is None.
    `matched` and `hits` count what has passed so far.
    """

    id: int
    kind: str
    options: dict[str, Any]
    path: str = "/3/"
    query: dict[str, str] | None = None
    skip: int = 0
    count: int | None = None
    matched: int = 0
    hits: int = 0

    def claims(self, path: str, query: Mapping[str, str]) -> bool:
        """Whether this request is hit; counts it."""
        wanted = self.query or {}
        if not path.startswith(self.path) or any(query.get(k) != v for k, v in wanted.items()):
            return False
        self.matched += 1
        if self.matched <= self.skip or (self.count is not None and self.hits >= self.count):
            return False
        self.hits += 1
        return True

    def describe(self) -> dict[str, Any]:
        """The fault as the admin endpoint shows it; `remaining` is None without a count."""
        return {
            "id": self.id,
            "kind": self.kind,
            "path": self.path,
            "query": self.query or {},
            "skip": self.skip,
            "count": self.count,
            **self.options,
            "hits": self.hits,
            "remaining": None if self.count is None else self.count - self.hits,
        }


@dataclass(frozen=True, slots=True)
class Hit:
    """A fault that applies to one request; `ordinal` is 1 for the first one it hit."""

    kind: str
    options: Mapping[str, Any]
    ordinal: int


def _parse_scope(source: Mapping[str, Any]) -> dict[str, Any]:
    scope = {key: source[key] for key in _SCOPE[1:] if key in source}
    if not isinstance(scope.get("path", ""), str):
        raise FaultError("path is not a string")
    query = scope.get("query", {})
    if not isinstance(query, dict) or not all(isinstance(v, str) for v in query.values()):
        raise FaultError("query is not an object of strings")
    skip = scope.get("skip", 0)
    if not _is_integer(skip) or skip < 0:
        raise FaultError("skip is not an integer of at least 0")
    count = scope.get("count")
    if count is not None and not _is_count(count):
        raise FaultError("count is neither null nor a positive integer")
    return scope


def parse_fault(source: Any, fault_id: int) -> Fault:
    """A fault from its JSON description.

    Raises FaultError for an unknown kind, key or value.
    """
    if not isinstance(source, dict):
        raise FaultError("a fault is not a JSON object")
    kind = source.get("kind")
    if not isinstance(kind, str) or kind not in KINDS:
        raise FaultError(f"kind is none of {', '.join(KINDS)}")
    allowed = KINDS[kind]
    if unknown := set(source) - set(_SCOPE) - set(allowed):
        raise FaultError(f"{kind} takes no {', '.join(sorted(unknown))}")
    options = {name: source.get(name, option.default) for name, option in allowed.items()}
    for name, option in allowed.items():
        if not option.is_valid(options[name]):
            raise FaultError(f"{name} cannot be {options[name]!r}")
    return Fault(id=fault_id, kind=kind, options=options, **_parse_scope(source))


class FaultRegistry:
    """The faults switched on, in the order they were given."""

    def __init__(self) -> None:
        self._faults: list[Fault] = []
        self._ids = itertools.count(1)

    def replace(self, sources: list[Any]) -> None:
        """Switch on exactly these; leaves all as it was when one is wrong (FaultError)."""
        self._faults = [parse_fault(source, next(self._ids)) for source in sources]

    def add(self, source: Any) -> Fault:
        """Switch on one more (FaultError)."""
        fault = parse_fault(source, next(self._ids))
        self._faults.append(fault)
        return fault

    def clear(self) -> None:
        """Switch all off."""
        self._faults = []

    def remove(self, fault_id: int) -> bool:
        """Switch one off; tells whether it was there."""
        kept = [fault for fault in self._faults if fault.id != fault_id]
        removed = len(kept) < len(self._faults)
        self._faults = kept
        return removed

    def claim(self, path: str, query: Mapping[str, str]) -> list[Hit]:
        """The faults that hit this request, each counted.

        None after the first that replaces the answer: so several of them with counts make a
        sequence.
        """
        hits = []
        for fault in self._faults:
            if fault.claims(path, query):
                hits.append(Hit(fault.kind, fault.options, fault.hits))
                if fault.kind in _REPLACING:
                    break
        return hits

    def describe(self) -> list[dict[str, Any]]:
        """All faults with their counters, spent ones included."""
        return [fault.describe() for fault in self._faults]
