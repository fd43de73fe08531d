"""What this service tells the others."""

from catalog.domain.genres import GenreStatus
from chassis.events.envelope import Event

GENRE_CHANGED = "catalog.genre.changed.v1"
ENTITLEMENTS_CHANGED = "subscription.entitlements.changed.v1"


def genre_changed(genre_id: int, revision: int, name: str, status: GenreStatus) -> Event:
    """A genre appeared, or its name or status changed: its full new state."""
    return Event(
        type=GENRE_CHANGED,
        source="/catalog",
        subject=f"genre/{genre_id}",
        data={"genreId": genre_id, "revision": revision, "name": name, "status": status.value},
    )
