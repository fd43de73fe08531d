"""Marking, unmarking, and one's own history."""

from typing import Annotated, Literal

from fastapi import Body, Depends, Path, Query, Request, Response
from pydantic import AfterValidator, StringConstraints

from chassis.app import service_router
from chassis.auth import CurrentPrincipal, authenticated
from chassis.errors import BodyTooLargeError, MalformedJsonError, UnsupportedMediaTypeError
from chassis.fields import ExternalId
from chassis.http import PeerUnavailableError
from chassis.pagination import Page, PageParams, describe_page, page_headers
from chassis.problems import problem_responses
from chassis.text import searched_words
from watch.api.answers import csv_answer, read_answer
from watch.api.dependencies import Histories, PeriodParams
from watch.api.documentation import ALWAYS, AS_CSV, NOT_MODIFIED
from watch.api.negotiation import wants_csv
from watch.api.schemas.watched import CSV_HEADER, WatchedCreate, WatchedRead, csv_row
from watch.domain.errors import (
    MovieNotFoundError,
    MovieNotInYourGenresError,
    MovieNotWatchedError,
    UserDeletedError,
)
from watch.domain.history import HistoryFilter, Order, SortKey

router = service_router(prefix="/v1/watched", tags=["watched"], dependencies=[Depends(authenticated)])

MovieId = Annotated[ExternalId, Path(alias="movieId", description="The movie's TMDB id.")]
Ids = Annotated[list[ExternalId] | None, Query(max_length=200)]
SortName = Literal["watchedAt", "-watchedAt", "createdAt", "-createdAt", "title", "-title"]


@router.put(
    "/{movieId}",
    summary="Mark a movie as watched",
    description=(
        "Whether you may see the movie is checked with the catalog first; without its answer nothing is stored. "
        "Marking again answers 200 and changes nothing but `watchedAt`, and that only when one is sent."
    ),
    response_model=WatchedRead,
    responses={
        200: {"description": "The movie was marked already."},
        201: {
            "description": "Marked for the first time.",
            "model": WatchedRead,
            "headers": {"Location": {"description": "The entry.", "schema": {"type": "string"}}},
        },
        **problem_responses(
            *ALWAYS,
            MalformedJsonError,
            BodyTooLargeError,
            UnsupportedMediaTypeError,
            MovieNotInYourGenresError,
            UserDeletedError,
            MovieNotFoundError,
            PeerUnavailableError,
        ),
    },
)
async def mark_movie_watched(
    movie_id: MovieId,
    principal: CurrentPrincipal,
    histories: Histories,
    body: Annotated[WatchedCreate | None, Body()] = None,
) -> Response:
    marking = await histories.mark(principal, movie_id, body.watched_at if body else None)
    return Response(
        WatchedRead.of(marking.entry).model_dump_json(by_alias=True),
        201 if marking.is_first else 200,
        media_type="application/json",
        headers={"Cache-Control": "private, no-cache"}
        | ({"Location": f"/v1/watched/{movie_id}"} if marking.is_first else {}),
    )


@router.delete(
    "/{movieId}",
    status_code=204,
    summary="Unmark a movie",
    description="Also when it was not marked, and although access to it has been lost since.",
    responses=problem_responses(*ALWAYS),
)
async def unmark_movie_watched(movie_id: MovieId, principal: CurrentPrincipal, histories: Histories) -> None:
    await histories.unmark(principal.user_id, movie_id)


def _not_blank(title: str) -> str:
    if not title.strip():
        raise ValueError("must not be blank")
    return title


def _filter(
    period: PeriodParams,
    movie_ids: Annotated[Ids, Query(alias="movieIds", description="Which of these have I seen?")] = None,
    genre_ids: Annotated[Ids, Query(alias="genreIds", description="Movies with any of these genres.")] = None,
    title: Annotated[
        Annotated[str, AfterValidator(_not_blank), StringConstraints(max_length=200)] | None,
        Query(description="Every word of it begins a word of the title, without regard to case or accents."),
    ] = None,
) -> HistoryFilter:
    return HistoryFilter(
        movie_ids=frozenset(movie_ids) if movie_ids is not None else None,
        genre_ids=frozenset(genre_ids) if genre_ids is not None else None,
        period=period,
        title_words=searched_words(title) if title is not None else None,
    )


def _order(sort: Annotated[SortName, Query(description="Descending with '-' in front.")] = "-watchedAt") -> Order:
    return Order(SortKey(sort.removeprefix("-")), sort.startswith("-"))


@router.get(
    "",
    summary="List what you have watched",
    description="With `Accept: text/csv` everything that the filters mean is streamed as CSV, without pages.",
    response_model=Page[WatchedRead],
    responses={**AS_CSV, **NOT_MODIFIED, **problem_responses(*ALWAYS)},
)
async def list_watched_movies(  # noqa: PLR0913 - what the framework injects
    request: Request,
    principal: CurrentPrincipal,
    histories: Histories,
    wanted: Annotated[HistoryFilter, Depends(_filter)],
    order: Annotated[Order, Depends(_order)],
    page: PageParams,
) -> Response:
    if wants_csv(request):
        return await csv_answer("watched.csv", CSV_HEADER, histories.export(principal.user_id, wanted, order), csv_row)
    found = await histories.list_watched(principal.user_id, wanted, order, page)
    shown = Page[WatchedRead](
        data=[WatchedRead.of(entry) for entry in found.items], pagination=describe_page(page, found.total)
    )
    return read_answer(request, shown, page_headers(request.url.path, request.scope["query_string"], page, found.total))


@router.get(
    "/{movieId}",
    summary="Read one entry of your history",
    response_model=WatchedRead,
    responses={**NOT_MODIFIED, **problem_responses(*ALWAYS, MovieNotWatchedError)},
)
async def get_watched_movie(
    request: Request, movie_id: MovieId, principal: CurrentPrincipal, histories: Histories
) -> Response:
    return read_answer(request, WatchedRead.of(await histories.get(principal.user_id, movie_id)))
