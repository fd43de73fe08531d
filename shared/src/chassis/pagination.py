"""Pages of a list: the parameters, the envelope and the headers of the API's conventions."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Generic, TypeVar
from urllib.parse import parse_qsl, urlencode

from fastapi import Depends, Query, Request, Response
from pydantic import Field

from chassis.fields import QueryInt, ResponseModel

Item = TypeVar("Item")
Shown = TypeVar("Shown")

# 10^7 pages of 100 rows is more than any list holds, and keeps OFFSET far below 2^63.
MAX_PAGE_NUMBER = 10_000_000


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which page is asked for: `number` counts from 1, `size` is rows per page."""

    number: int
    size: int

    @property
    def offset(self) -> int:
        return (self.number - 1) * self.size


@dataclass(frozen=True, slots=True)
class Slice(Generic[Item]):
    """The rows of one page and how many rows there are in all."""

    items: Sequence[Item]
    total: int


class Pagination(ResponseModel):
    page_number: int = Field(examples=[1])
    page_size: int = Field(examples=[10])
    total_pages: int = Field(examples=[1])
    last_page: bool = Field(examples=[True])
    first_page: bool = Field(examples=[True])


class Page(ResponseModel, Generic[Shown]):
    """One page of a list."""

    data: list[Shown]
    pagination: Pagination


def page_request(
    page_number: Annotated[
        QueryInt, Query(alias="pageNumber", ge=1, le=MAX_PAGE_NUMBER, description="Page to show, from 1.")
    ] = 1,
    page_size: Annotated[QueryInt, Query(alias="pageSize", ge=1, le=100, description="Rows per page.")] = 10,
) -> PageRequest:
    """The page that the query asks for (FastAPI dependency)."""
    return PageRequest(page_number, page_size)


PageParams = Annotated[PageRequest, Depends(page_request)]


def total_pages(total: int, size: int) -> int:
    """How many pages of `size` rows hold `total` rows; 0 for none."""
    return -(-total // size)


def describe_page(page: PageRequest, total: int) -> Pagination:
    """The envelope's `pagination` member."""
    pages = total_pages(total, page.size)
    return Pagination(
        page_number=page.number,
        page_size=page.size,
        total_pages=pages,
        last_page=page.number >= pages,
        first_page=page.number == 1,
    )


def page_headers(path: str, query: bytes, page: PageRequest, total: int) -> dict[str, str]:
    """`X-Total-Count` and `Link` (RFC 8288), with targets relative to the host."""
    pages = total_pages(total, page.size)
    kept = [(k, v) for k, v in parse_qsl(query.decode(), keep_blank_values=True) if k not in ("pageNumber", "pageSize")]

    def link(number: int, rel: str) -> str:
        target = urlencode([*kept, ("pageNumber", number), ("pageSize", page.size)])
        return f'<{path}?{target}>; rel="{rel}"'

    links = [link(1, "first")]
    if pages:
        links.append(link(pages, "last"))
    if page.number > 1 and pages:
        links.append(link(min(page.number - 1, pages), "prev"))
    if page.number < pages:
        links.append(link(page.number + 1, "next"))
    return {"X-Total-Count": str(total), "Link": ", ".join(links)}


def add_page_headers(request: Request, response: Response, page: PageRequest, total: int) -> None:
    """Put the headers of a page on `response`."""
    response.headers.update(page_headers(request.url.path, request.scope["query_string"], page, total))
