"""What routes are given: services, and the parameters that several routes share."""

from typing import Annotated

from fastapi import Depends, Query, Request

from chassis.fields import Timestamp
from watch.domain.history import Period
from watch.factory import Factory
from watch.services.history import HistoryService
from watch.services.reports import ReportService


def _history_service(request: Request) -> HistoryService:
    factory: Factory = request.state.factory
    return factory.create_history_service()


def _report_service(request: Request) -> ReportService:
    factory: Factory = request.state.factory
    return factory.create_report_service()


def _period(
    start: Annotated[Timestamp | None, Query(alias="from", description="Watched at this time or later.")] = None,
    end: Annotated[Timestamp | None, Query(alias="to", description="Watched before this time.")] = None,
) -> Period:
    return Period(start, end)


Histories = Annotated[HistoryService, Depends(_history_service)]
Reports = Annotated[ReportService, Depends(_report_service)]
PeriodParams = Annotated[Period, Depends(_period)]
