"""Which movies a person may see: the one rule behind the list, the single movie and the marking as watched."""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

Genres = frozenset[int]


class GenreMatch(StrEnum):
    """How many of a movie's genres have to be entitled: one of them, or every one."""

    ANY = "any"
    ALL = "all"


class GenresMode(StrEnum):
    """How many of the genres that a query names a movie has to have."""

    ANY = "any"
    ALL = "all"


@dataclass(frozen=True, slots=True)
class GenreCondition:
    """What a movie's genres have to fulfil.

    At least one of `any_of` (never empty), every one of `all_of`, and none outside `within` when that is
    given. A movie without genres fulfils no condition.
    """

    any_of: Genres
    all_of: Genres = frozenset()
    within: Genres | None = None

    def accepts(self, genres: Collection[int]) -> bool:
        """Whether a movie with these genres fulfils the condition."""
        own = frozenset(genres)
        return bool(own & self.any_of) and own >= self.all_of and (self.within is None or own <= self.within)


def permitted(
    entitled: Genres, match: GenreMatch, requested: Genres = frozenset(), mode: GenresMode = GenresMode.ANY
) -> GenreCondition | None:
    """What a movie has to fulfil for somebody entitled to `entitled`; None when no movie can.

    `requested` narrows to those genres: with mode `any` to the entitled ones among them, with mode `all` to
    movies that have them all, which is nothing when one of them is not entitled.
    """
    named = requested & entitled
    if not entitled or (requested and not named):
        return None
    if requested and mode is GenresMode.ALL and named != requested:
        return None
    return GenreCondition(
        any_of=named or entitled,
        all_of=requested if mode is GenresMode.ALL else frozenset(),
        within=entitled if match is GenreMatch.ALL else None,
    )
