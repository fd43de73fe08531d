"""Genres as this service knows them: a copy of the catalog's names and states."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from chassis.errors import FieldError, InvalidRequestError


class GenreStatus(StrEnum):
    """Whether the catalog's source still lists the genre."""

    ACTIVE = "active"
    RETIRED = "retired"


@dataclass(frozen=True, slots=True)
class Genre:
    """A genre; `id` is the catalog's."""

    id: int
    name: str
    status: GenreStatus


def require_no_repeats(pointer: str, values: Sequence[object]) -> None:
    """Raises `InvalidRequestError` naming each repetition as `<pointer>/<index>`."""
    seen: set[object] = set()
    repeated = []
    for index, value in enumerate(values):
        if value in seen:
            repeated.append(FieldError(f"{pointer}/{index}", "is given more than once"))
        seen.add(value)
    if repeated:
        raise InvalidRequestError(errors=repeated)
