"""`/3/movie/changes`: ids of the films that changed within a window of days."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime, time, timedelta
from typing import Any, Final

from tmdb_simulator.catalogue import Catalogue
from tmdb_simulator.discover import read_page
from tmdb_simulator.errors import INVALID_DATE, INVALID_DATE_RANGE, TmdbError
from tmdb_simulator.films import is_date

_PAGE_SIZE: Final = 100
_LONGEST: Final = timedelta(days=14)
_DAY: Final = timedelta(days=1)


def _midnight(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _read_day(query: Mapping[str, str], name: str) -> date | None:
    text = query.get(name)
    if not text:
        return None
    if not is_date(text):
        raise TmdbError(INVALID_DATE)
    return date.fromisoformat(text)


def window(query: Mapping[str, str], moment: datetime) -> tuple[datetime, datetime]:
    """The window [start, end) a query means at a moment: both days belong to it.

    Without dates it is the last 24 hours; with one of them the other is a day before, or up to
    14 days after but not beyond today. Raises TmdbError code 23 for a date that is none and
    code 20 for a window longer than 14 days or the wrong way round.
    """
    start, end = _read_day(query, "start_date"), _read_day(query, "end_date")
    if start is None and end is None:
        return moment - _DAY, moment + timedelta(seconds=1)
    if end is None:
        assert start is not None  # noqa: S101 - one of both is given, as looked at above
        end = max(start, min(moment.date(), start + _LONGEST))
    if start is None:
        start = end - _DAY
    if not timedelta(0) <= end - start <= _LONGEST:
        raise TmdbError(INVALID_DATE_RANGE)
    return _midnight(start), _midnight(end) + _DAY


def page_of_changes(catalogue: Catalogue, query: Mapping[str, str], moment: datetime) -> dict[str, Any]:
    """One page of changed films, 100 a page, latest change first; a removed film has nulls.

    Raises TmdbError code 20, 22 or 23.
    """
    page = read_page(query)
    changed = catalogue.changes(*window(query, moment))
    rows = []
    for film_id in changed[(page - 1) * _PAGE_SIZE : page * _PAGE_SIZE]:
        film = catalogue.find_film(film_id)
        rows.append(
            {
                "id": film_id,
                "adult": film.adult if film else None,
                "softcore": film.softcore if film else None,
            }
        )
    return {
        "results": rows,
        "page": page,
        "total_pages": max(1, -(-len(changed) // _PAGE_SIZE)),
        "total_results": len(changed),
    }
