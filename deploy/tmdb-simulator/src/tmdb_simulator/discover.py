"""`/3/discover/movie`: which films a query means, in which order, and one page of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from tmdb_simulator.catalogue import Catalogue
from tmdb_simulator.errors import INVALID_DATE, INVALID_PAGE, TmdbError
from tmdb_simulator.films import Film, is_date

PAGE_SIZE: Final = 20
LAST_PAGE: Final = 500
_DEFAULT_SORT: Final = "popularity"
_REMEMBERED_QUERIES: Final = 512

Predicate = Callable[[Film], bool]

_SORT_KEYS: Final[dict[str, Callable[[Film], Any]]] = {
    "original_title": lambda film: film.original_title.casefold(),
    "popularity": lambda film: film.popularity,
    "revenue": lambda film: film.details.get("revenue", 0),
    "primary_release_date": lambda film: film.release_date,
    "title": lambda film: film.title.casefold(),
    "vote_average": lambda film: film.vote_average,
    "vote_count": lambda film: film.vote_count,
}
# The films hold none of these, so that asking for one finds nothing.
_UNKNOWN_HERE: Final = (
    "with_cast",
    "with_companies",
    "with_crew",
    "with_keywords",
    "with_people",
    "with_watch_providers",
)


@dataclass(frozen=True, slots=True)
class PageFault:
    """How a page differs from the true one.

    `repeated` rows of the page before stand at the top in place of the page's own first ones;
    `shift` rows have entered (positive) or left (negative) the list above this page.
    """

    repeated: int = 0
    shift: int = 0


def read_page(query: Mapping[str, str]) -> int:
    """The `page` parameter.

    Raises TmdbError code 22 when it is not an integer from 1 to 500.
    """
    text = query.get("page", "1")
    if not text.isascii() or not text.isdigit() or not 1 <= int(text[:9]) <= LAST_PAGE:
        raise TmdbError(INVALID_PAGE)
    return int(text[:9])


def _matches_groups(groups: list[set[str]], value_of: Callable[[Film], set[str]]) -> Predicate:
    return lambda film: all(group & value_of(film) for group in groups)


def _groups(text: str) -> list[set[str]]:
    """Comma is AND and pipe is OR: `28,12|16` is 28 and (12 or 16)."""
    return [{part.strip() for part in group.split("|")} for group in text.split(",")]


def _genres_of(film: Film) -> set[str]:
    return {str(genre) for genre in film.genre_ids}


def _countries_of(film: Film) -> set[str]:
    return set(film.details.get("origin_country", ()))


def _within(film: Film, value_of: Callable[[Film], Any], low: Any, high: Any) -> bool:
    value = value_of(film)
    if value == "":
        return False  # a film without a date is in no range of dates
    return (low is None or value >= low) and (high is None or value <= high)


def _number(text: str | None) -> float | None:
    try:
        return float(text) if text else None
    except ValueError:
        return None  # TMDB ignores what it cannot read


def _date(text: str | None) -> str | None:
    if text and not is_date(text):
        raise TmdbError(INVALID_DATE)
    return text or None


def _range_predicates(query: Mapping[str, str]) -> list[Predicate]:
    ranges: list[tuple[Callable[[Film], Any], Any, Any]] = []
    for name in ("primary_release_date", "release_date"):
        low, high = _date(query.get(f"{name}.gte")), _date(query.get(f"{name}.lte"))
        ranges.append((lambda film: film.release_date, low, high))
    years = (query.get(name, "") for name in ("primary_release_year", "year"))
    ranges += [(lambda film: film.release_date, f"{year}-01-01", f"{year}-12-31") for year in years if year.isdigit()]
    numbers: dict[str, Callable[[Film], Any]] = {
        "vote_average": lambda film: film.vote_average,
        "vote_count": lambda film: film.vote_count,
        "with_runtime": lambda film: film.details.get("runtime", 0),
    }
    for name, value_of in numbers.items():
        low_number = _number(query.get(f"{name}.gte"))
        ranges.append((value_of, low_number, _number(query.get(f"{name}.lte"))))
    return [
        partial(_within, value_of=value_of, low=low, high=high)
        for value_of, low, high in ranges
        if low is not None or high is not None
    ]


def _predicates(query: Mapping[str, str]) -> list[Predicate]:
    predicates = _range_predicates(query)
    if query.get("include_adult", "false").lower() != "true":
        predicates.append(lambda film: not film.adult)
    if query.get("include_video", "false").lower() != "true":
        predicates.append(lambda film: not film.video)
    if languages := query.get("with_original_language"):
        wanted = set(languages.split("|"))
        predicates.append(lambda film: film.original_language in wanted)
    if genres := query.get("with_genres"):
        predicates.append(_matches_groups(_groups(genres), _genres_of))
    if countries := query.get("with_origin_country"):
        predicates.append(_matches_groups(_groups(countries), _countries_of))
    if without := query.get("without_genres"):
        unwanted = set(without.replace("|", ",").split(","))
        predicates.append(lambda film: not unwanted & _genres_of(film))
    if any(query.get(name) for name in _UNKNOWN_HERE):
        predicates.append(lambda film: False)
    return predicates


def _sorting(query: Mapping[str, str]) -> tuple[str, bool]:
    name, _, direction = query.get("sort_by", "").partition(".")
    if name not in _SORT_KEYS or direction not in ("asc", "desc"):
        return _DEFAULT_SORT, True  # an unknown sort_by is ignored
    return name, direction == "desc"


class Discovery:
    """Answers discover queries; remembers orders and matches until the catalogue changes."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._revision = catalogue.revision
        self._orders: dict[tuple[str, bool], list[Film]] = {}
        self._matches: dict[tuple[tuple[str, str], ...], list[Film]] = {}

    def _ordered(self, name: str, descending: bool) -> list[Film]:
        if (name, descending) not in self._orders:
            key = _SORT_KEYS[name]
            films = sorted(self._catalogue.films(), key=lambda film: film.id)
            films.sort(key=key, reverse=descending)
            if name == "primary_release_date" and not descending:
                films.sort(key=lambda film: film.release_date == "")  # undated films come last
            self._orders[name, descending] = films
        return self._orders[name, descending]

    def match(self, query: Mapping[str, str]) -> list[Film]:
        """All films a query means, in its order.

        Raises TmdbError code 23 for a date that is none.
        """
        if self._revision != self._catalogue.revision:
            self._revision = self._catalogue.revision
            self._orders.clear()
            self._matches.clear()
        key = tuple(sorted((k, v) for k, v in query.items() if k not in ("page", "language")))
        if (found := self._matches.get(key)) is None:
            predicates = _predicates(query)
            ordered = self._ordered(*_sorting(query))
            found = [film for film in ordered if all(accepts(film) for accepts in predicates)]
            if len(self._matches) >= _REMEMBERED_QUERIES:
                self._matches.pop(next(iter(self._matches)))
            self._matches[key] = found
        return found

    def page(self, query: Mapping[str, str], fault: PageFault | None = None) -> dict[str, Any]:
        """One page of a query, true unless a fault is given.

        An empty result has `total_pages` 1, and `total_pages` is not capped at 500: both as
        TMDB does it. Raises TmdbError code 22 or 23.
        """
        page = read_page(query)
        films = self.match(query)
        fault = fault or PageFault()
        start = max(0, (page - 1) * PAGE_SIZE - fault.shift)
        rows = films[start : start + PAGE_SIZE]
        repeated = min(fault.repeated, start, len(rows))
        if repeated:
            rows = films[start - repeated : start] + rows[repeated:]
        language = query.get("language") or "en-US"
        total = max(0, len(films) + fault.shift)
        return {
            "page": page,
            "results": [film.row(language) for film in rows],
            "total_pages": max(1, -(-total // PAGE_SIZE)),
            "total_results": total,
        }
