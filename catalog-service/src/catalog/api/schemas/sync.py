"""The state of the synchronisation on the wire."""

from typing import Any

from pydantic import Field

from catalog.domain.sync import RoutineState
from catalog.services.sync import SyncStatus
from chassis.fields import ResponseModel, Timestamp


class SyncErrorRead(ResponseModel):
    """Why a run failed; what is stored was left as it was."""

    at: Timestamp
    code: str = Field(examples=["tmdb-throttled"])
    message: str = Field(examples=["HTTP 429 (code 25: Your request count is over the allowed limit.)"])


class RoutineRead(ResponseModel):
    """When one routine last ran, what it changed, and when it runs next."""

    status: str = Field(description="`idle` or `running`.", examples=["idle"])
    running_since: Timestamp | None
    last_synced_at: Timestamp | None = Field(description="The last check that succeeded, with or without changes.")
    last_changed_at: Timestamp | None
    last_changes: dict[str, int] = Field(examples=[{"added": 19, "renamed": 0, "restored": 0, "retired": 0}])
    next_sync_at: Timestamp | None
    consecutive_failures: int = Field(examples=[0])
    total_failures: int = Field(examples=[0])
    last_error: SyncErrorRead | None
    progress: dict[str, Any] | None = Field(description="Of the run under way.")

    @classmethod
    def from_state(cls, state: RoutineState) -> "RoutineRead":
        return cls(
            status="running" if state.running_since else "idle",
            running_since=state.running_since,
            last_synced_at=state.checked_at,
            last_changed_at=state.changed_at,
            last_changes=state.changes,
            next_sync_at=state.next_at,
            consecutive_failures=state.failures,
            total_failures=state.failures_in_all,
            last_error=SyncErrorRead.model_validate(state.last_failure) if state.last_failure else None,
            progress=state.progress,
        )


class SyncRead(ResponseModel):
    """The synchronisation with TMDB."""

    genres: RoutineRead
    movies: RoutineRead
    movies_held: int = Field(examples=[9484])
    requested_at: Timestamp | None = Field(description="When a run was asked for that has not begun yet.")

    @classmethod
    def from_status(cls, status: SyncStatus) -> "SyncRead":
        return cls(
            genres=RoutineRead.from_state(status.genres),
            movies=RoutineRead.from_state(status.movies),
            movies_held=status.movies_held,
            requested_at=status.requested_at,
        )
