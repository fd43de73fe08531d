"""Reports: one's own, a user's, and all of them."""

from typing import Annotated

from fastapi import Depends, Path, Query, Request, Response

from chassis.app import service_router
from chassis.auth import CurrentPrincipal, administrator, authenticated
from chassis.errors import ForbiddenError
from chassis.fields import Id, QueryInt
from chassis.pagination import Page, PageParams, describe_page, page_headers
from chassis.problems import problem_responses
from watch.api.answers import csv_answer, read_answer
from watch.api.dependencies import PeriodParams, Reports
from watch.api.documentation import ALWAYS, AS_CSV, NOT_MODIFIED
from watch.api.negotiation import wants_csv
from watch.api.schemas.reports import CSV_HEADER, ReportRead, csv_row

router = service_router(prefix="/v1/reports", tags=["reports"], dependencies=[Depends(authenticated)])


@router.get(
    "/me",
    summary="Your report",
    description="Over all time, or over the films watched in `[from, to)`.",
    response_model=ReportRead,
    responses={**NOT_MODIFIED, **problem_responses(*ALWAYS)},
)
async def get_my_report(
    request: Request, principal: CurrentPrincipal, reports: Reports, period: PeriodParams
) -> Response:
    return read_answer(request, ReportRead.of(await reports.report_on(principal, principal.user_id, period)))


@router.get(
    "/users",
    summary="The reports of all users with history",
    description=(
        "In the order of the users' ids, for administrators. "
        "With `Accept: text/csv` all of them are streamed as CSV, without pages."
    ),
    dependencies=[Depends(administrator)],
    response_model=Page[ReportRead],
    responses={
        **AS_CSV,
        **NOT_MODIFIED,
        **problem_responses(*ALWAYS, ForbiddenError),
    },
)
async def list_user_reports(
    request: Request,
    reports: Reports,
    page: PageParams,
    user_ids: Annotated[
        list[Id] | None, Query(alias="userIds", max_length=200, description="Only these users.")
    ] = None,
    min_films: Annotated[
        QueryInt,
        Query(alias="minFilms", ge=0, le=2**31 - 1, description="Only users who have watched so many films."),
    ] = 0,
) -> Response:
    wanted = frozenset(user_ids) if user_ids is not None else None
    if wants_csv(request):
        return await csv_answer("reports.csv", CSV_HEADER, reports.export(wanted, min_films), csv_row)
    found = await reports.list_reports(wanted, min_films, page)
    shown = Page[ReportRead](
        data=[ReportRead.of(report) for report in found.items], pagination=describe_page(page, found.total)
    )
    return read_answer(request, shown, page_headers(request.url.path, request.scope["query_string"], page, found.total))


@router.get(
    "/users/{userId}",
    summary="The report of a user",
    description="Your own, or anybody's for an administrator. An id without history reports zeros.",
    response_model=ReportRead,
    responses={**NOT_MODIFIED, **problem_responses(*ALWAYS, ForbiddenError)},
)
async def get_user_report(
    request: Request,
    user_id: Annotated[Id, Path(alias="userId", description="The user's id.")],
    principal: CurrentPrincipal,
    reports: Reports,
    period: PeriodParams,
) -> Response:
    return read_answer(request, ReportRead.of(await reports.report_on(principal, user_id, period)))
