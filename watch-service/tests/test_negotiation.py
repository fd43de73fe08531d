"""JSON or CSV, by the Accept header."""

import pytest
from fastapi import Request

from watch.api.negotiation import wants_csv


def _request(*accept: str) -> Request:
    return Request({"type": "http", "headers": [(b"accept", value.encode()) for value in accept]})


@pytest.mark.parametrize(
    "accept",
    [
        ["text/csv"],
        ["TEXT/CSV"],
        ["text/csv;q=0.1"],
        ["text/csv; charset=utf-8"],
        ["text/csv, application/json;q=0.9"],
        ["application/json;q=0.5, text/csv;q=0.8"],
        ["text/*"],
        ["text/csv, */*"],
        ["application/json;q=0.1", "text/csv;q=0.2"],
        ["text/*;q=0.9, application/json;q=0.8"],
        ["*/*, application/json;q=0"],
        ["text/csv;q=0.001"],
    ],
)
def test_csv_is_sent_to_those_who_prefer_it(accept: list[str]) -> None:
    assert wants_csv(_request(*accept))


@pytest.mark.parametrize(
    "accept",
    [
        [],
        [""],
        ["*/*"],
        ["application/json"],
        ["application/json, text/csv"],
        ["text/csv;q=0.5, application/json"],
        ["text/csv;q=0"],
        ["text/csv;q=0, */*"],
        ["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"],
        ["image/png"],
        ["text/csv;q=2"],
        ["text/csv;q=nan"],
        ["text/csvx"],
        ["text/csv;q=0.5, */*;q=0.6"],
    ],
)
def test_everybody_else_gets_json(accept: list[str]) -> None:
    assert not wants_csv(_request(*accept))
