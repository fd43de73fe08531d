"""Reports as JSON and as CSV."""

from collections.abc import Iterable
from typing import Self

from pydantic import Field

from chassis.fields import Id, ResponseModel
from watch.domain.reports import NamedReport

CSV_HEADER = (
    "userId",
    "totalFilmsWatched",
    "themeId",
    "themeName",
    "themeTotalFilmsWatched",
    "lastMovieId",
    "lastMovieName",
)


class ThemeRead(ResponseModel):
    theme_id: int = Field(examples=[28])
    theme_name: str = Field(examples=["Action"])
    total_films_watched: int = Field(examples=[7])


class LastFilmRead(ResponseModel):
    movie_id: int = Field(examples=[603])
    movie_name: str = Field(examples=["The Matrix"])


class ReportRead(ResponseModel):
    """What a user has watched: how much, mostly which theme (genre), and what last."""

    user_id: Id
    total_films_watched: int = Field(examples=[12])
    most_watched_theme: ThemeRead | None
    last_film_watched: LastFilmRead | None

    @classmethod
    def of(cls, named: NamedReport) -> Self:
        report = named.report
        theme = report.theme and ThemeRead(
            theme_id=report.theme.genre_id,
            theme_name=named.theme_name or "",
            total_films_watched=report.theme.films,
        )
        last = report.last and LastFilmRead(movie_id=report.last.movie_id, movie_name=report.last.title)
        return cls(
            user_id=report.user_id,
            total_films_watched=report.films,
            most_watched_theme=theme,
            last_film_watched=last,
        )


def csv_row(named: NamedReport) -> Iterable[object]:
    """The cells of one report, in the order of `CSV_HEADER`."""
    theme, last = named.report.theme, named.report.last
    return (
        named.report.user_id,
        named.report.films,
        theme and theme.genre_id,
        named.theme_name,
        theme and theme.films,
        last and last.movie_id,
        last and last.title,
    )
