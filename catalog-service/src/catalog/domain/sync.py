"""When genres and movies are fetched from TMDB, and what is known about the last time."""

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

_FIRST_RETRY = timedelta(seconds=5)
_SLOWEST_RETRY = timedelta(minutes=10)


class Routine(StrEnum):
    GENRES = "genres"
    MOVIES = "movies"


@dataclass(frozen=True, slots=True)
class SyncFailure:
    """Why a run ended without success: `code` is stable, `message` is for a person."""

    at: datetime
    code: str
    message: str


@dataclass(frozen=True, slots=True)
class RoutineState:
    """What is known about one routine.

    `checked_at` is its last success, `changed_at` the last success that changed something and `changes` what
    that was; `failures` counts failed runs since the last success. `progress` is that of the run under way.
    """

    routine: Routine
    running_since: datetime | None = None
    checked_at: datetime | None = None
    changed_at: datetime | None = None
    next_at: datetime | None = None
    changes: dict[str, int] = field(default_factory=dict)
    failures: int = 0
    failures_in_all: int = 0
    last_failure: SyncFailure | None = None
    progress: dict[str, Any] | None = None


def retry_after(failures: int, at_most: timedelta) -> timedelta:
    """How long to wait after so many failed runs in a row: doubling from 5 s to 10 min, never beyond the interval."""
    doublings = min(failures - 1, 10)
    return min(timedelta(seconds=_FIRST_RETRY.total_seconds() * 2.0**doublings), _SLOWEST_RETRY, at_most)
