"""Choosing between JSON and CSV by the Accept header (RFC 9110, section 12.5.1)."""

import re
from collections.abc import Iterable

from fastapi import Request

JSON = "application/json"
CSV = "text/csv"
# https://www.rfc-editor.org/rfc/rfc9110#section-12.4.2: zero to one with at most three decimals.
_WEIGHT = re.compile(r"0(\.\d{0,3})?|1(\.0{0,3})?")


def _ranges(accept: Iterable[str]) -> dict[str, float]:
    """Media range → weight; one with a weight that is none of RFC 9110's is left out, as if it had not been sent."""
    found: dict[str, float] = {}
    for element in ",".join(accept).split(","):
        media_range, *parameters = (part.strip().lower() for part in element.split(";"))
        weights = [p.removeprefix("q=").strip() for p in parameters if p.startswith("q=")]
        weight = weights[0] if weights else "1"
        if media_range and _WEIGHT.fullmatch(weight):
            found[media_range] = max(found.get(media_range, 0.0), float(weight))
    return found


def _preference(media_type: str, ranges: dict[str, float]) -> tuple[float, int]:
    """Weight and precision of the most precise range that holds `media_type`."""
    candidates = (media_type, media_type.split("/", maxsplit=1)[0] + "/*", "*/*")
    for precision, candidate in zip((3, 2, 1), candidates, strict=True):
        if candidate in ranges:
            return ranges[candidate], precision
    return 0.0, 0


def wants_csv(request: Request) -> bool:
    """Whether the client likes CSV better than JSON.

    Of two that it likes equally it gets the one that it names more precisely, then JSON; JSON also when it
    accepts neither, because an answer it did not ask for says more than 406.
    """
    ranges = _ranges(request.headers.getlist("accept"))
    csv, json = _preference(CSV, ranges), _preference(JSON, ranges)
    return csv[0] > 0 and csv > json
