"""/v1/genres."""

from typing import Annotated

from fastapi import Depends, Path, Query, Request, Response
from pydantic import Field

from catalog.api.dependencies import NOT_MODIFIED, SearchText, ServicesDep, answer, sort_validator, split_sort
from catalog.api.schemas.genres import GenreRead
from catalog.domain.errors import GenreNotFoundError
from catalog.domain.genres import GenreStatus
from catalog.services.genres import GenreFilter, GenreSortKey
from chassis.app import service_router
from chassis.auth import authenticated
from chassis.errors import InvalidRequestError, UnauthenticatedError
from chassis.fields import ExternalId, QueryInt
from chassis.mongo import StoreUnavailableError
from chassis.pagination import Page, PageParams, describe_page, page_headers
from chassis.problems import problem_responses
from chassis.tokens import InvalidTokenError

router = service_router(tags=["genres"], dependencies=[Depends(authenticated)])

_SortText = Annotated[str, *sort_validator([key.value for key in GenreSortKey])]
_ALWAYS = (UnauthenticatedError, InvalidTokenError, StoreUnavailableError, InvalidRequestError)


@router.get(
    "/v1/genres",
    summary="List genres",
    response_model=Page[GenreRead],
    responses=NOT_MODIFIED | problem_responses(*_ALWAYS),
)
async def list_genres(  # noqa: PLR0913 - these are the parameters of the query
    request: Request,
    services: ServicesDep,
    page: PageParams,
    name: Annotated[SearchText | None, Query(description="Found anywhere, without regard to case or accents.")] = None,
    ids: Annotated[list[ExternalId] | None, Query(max_length=100, description="Only these.")] = None,
    status: Annotated[GenreStatus | None, Query(description="`retired`: no longer listed by TMDB.")] = None,
    min_movies: Annotated[
        QueryInt, Field(ge=0, le=2**31 - 1), Query(alias="minMovies", description="Genres of so many movies.")
    ] = 0,
    sort: Annotated[_SortText, Query(description="`-` in front for descending.")] = "name",
) -> Response:
    key, descending = split_sort(sort)
    narrowed = GenreFilter(name, frozenset(ids) if ids is not None else None, status, min_movies)
    found = await services.genres.list_genres(narrowed, GenreSortKey(key), page, descending=descending)
    shown = Page[GenreRead](
        data=[GenreRead.model_validate(genre) for genre in found.items], pagination=describe_page(page, found.total)
    )
    headers = page_headers(request.url.path, request.scope["query_string"], page, found.total)
    return answer(request, shown, headers)


@router.get(
    "/v1/genres/{genreId}",
    summary="Read a genre",
    response_model=GenreRead,
    responses=NOT_MODIFIED | problem_responses(*_ALWAYS, GenreNotFoundError),
)
async def read_genre(
    request: Request,
    services: ServicesDep,
    genre_id: Annotated[ExternalId, Path(alias="genreId", description="The genre's TMDB id.", examples=[28])],
) -> Response:
    return answer(request, GenreRead.model_validate(await services.genres.get_genre(genre_id)))
