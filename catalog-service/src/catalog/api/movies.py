"""/v1/movies."""

from typing import Annotated

from fastapi import Depends, Path, Query, Request, Response

from catalog.api.dependencies import (
    NOT_MODIFIED,
    LanguageCode,
    QueryDate,
    Rating,
    SearchText,
    ServicesDep,
    answer,
    sort_validator,
    split_sort,
)
from catalog.api.remembered_pages import recall, remember
from catalog.api.schemas.movies import MovieRead
from catalog.domain.errors import (
    EntitlementsUnavailableError,
    MovieLookupUnavailableError,
    MovieNotFoundError,
    MovieNotInYourGenresError,
)
from catalog.domain.movies import MovieFilter, MovieOrder, SortKey
from catalog.domain.permission import GenresMode
from chassis.app import service_router
from chassis.auth import CurrentPrincipal, authenticated
from chassis.errors import InvalidRequestError, UnauthenticatedError
from chassis.fields import ExternalId
from chassis.mongo import StoreUnavailableError
from chassis.pagination import Page, PageParams, describe_page, page_headers
from chassis.problems import problem_responses
from chassis.text import searched_words
from chassis.tokens import InvalidTokenError

LIST_PATH = "/v1/movies"

router = service_router(tags=["movies"], dependencies=[Depends(authenticated)])

_SortText = Annotated[str, *sort_validator([key.value for key in SortKey])]
_ALWAYS = (
    UnauthenticatedError,
    InvalidTokenError,
    StoreUnavailableError,
    EntitlementsUnavailableError,
    InvalidRequestError,
)


def _filter(  # noqa: PLR0913 - these are the parameters of the query
    genre_ids: Annotated[
        list[ExternalId] | None,
        Query(alias="genreIds", max_length=100, description="Narrows to the entitled ones among these."),
    ] = None,
    genres_mode: Annotated[
        GenresMode, Query(alias="genresMode", description="Whether a movie has one of `genreIds` or all of them.")
    ] = GenresMode.ANY,
    title: Annotated[
        SearchText | None,
        Query(
            description="Every word begins a word of the title or original title, without regard to case or accents."
        ),
    ] = None,
    released_from: Annotated[QueryDate | None, Query(alias="releasedFrom", description="Inclusive.")] = None,
    released_to: Annotated[QueryDate | None, Query(alias="releasedTo", description="Inclusive.")] = None,
    min_rating: Annotated[Rating | None, Query(alias="minRating", description="Average vote, inclusive.")] = None,
    language: Annotated[LanguageCode | None, Query(description="Original language, ISO 639-1.")] = None,
) -> MovieFilter:
    return MovieFilter(
        genre_ids=frozenset(genre_ids or ()),
        genres_mode=genres_mode,
        words=searched_words(title) if title is not None else None,
        released_from=released_from,
        released_to=released_to,
        min_rating=min_rating,
        language=language,
    )


def _order(
    sort: Annotated[_SortText, Query(description="`-` in front for descending; ties by ascending id.")] = "-popularity",
) -> MovieOrder:
    key, descending = split_sort(sort)
    return MovieOrder(SortKey(key), descending)


@router.get(
    LIST_PATH,
    summary="List the movies that you may see",
    response_model=Page[MovieRead],
    responses=NOT_MODIFIED | problem_responses(*_ALWAYS),
)
async def list_movies(  # noqa: PLR0913 - these are the parameters of the query
    request: Request,
    principal: CurrentPrincipal,
    services: ServicesDep,
    page: PageParams,
    narrowed: Annotated[MovieFilter, Depends(_filter)],
    order: Annotated[MovieOrder, Depends(_order)],
) -> Response:
    if (finished := await recall(request, principal)) is not None:
        return finished
    listing = await services.movies.list_movies(principal, narrowed, order, page)
    total = listing.page.total
    shown = Page[MovieRead](
        data=[MovieRead.from_movie(movie, listing.snapshot.genres) for movie in listing.page.items],
        pagination=describe_page(page, total),
    )
    headers = page_headers(request.url.path, request.scope["query_string"], page, total)
    return remember(request, listing, shown.model_dump_json(by_alias=True).encode(), headers)


@router.get(
    "/v1/movies/{movieId}",
    summary="Read a movie",
    response_model=MovieRead,
    responses=NOT_MODIFIED
    | problem_responses(*_ALWAYS, MovieNotFoundError, MovieNotInYourGenresError, MovieLookupUnavailableError),
)
async def read_movie(
    request: Request,
    principal: CurrentPrincipal,
    services: ServicesDep,
    movie_id: Annotated[ExternalId, Path(alias="movieId", description="The movie's TMDB id.", examples=[603])],
) -> Response:
    movie = await services.movies.get_movie(principal, movie_id)
    snapshot = await services.view.current()
    return answer(request, MovieRead.from_movie(movie, snapshot.genres))
