"""The bytes of an answer's head, put together from constant parts."""

import time
from collections.abc import Iterable, Sequence
from email.utils import formatdate
from http import HTTPStatus

from chassis.errors import ServiceError
from chassis.problem_documents import STATUS, problem_body, problem_headers
from gateway.headers import NOTHING_TO_RENDER, SECURITY

_STATUS_LINES = {status.value: f"HTTP/1.1 {status.value} {status.phrase}\r\n".encode() for status in HTTPStatus}
LAST_LINES = b"connection: close\r\n\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
# What every answer says; pages bring a content security policy of their own.
FIXED = SECURITY + NOTHING_TO_RENDER
WITH_OWN_POLICY = SECURITY


def status_line(status: int) -> bytes:
    return _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status


class DateLine:
    """The `Date` header, made once a second."""

    __slots__ = ("_line", "_second")

    def __init__(self) -> None:
        self._second = 0
        self._line = b""

    def line(self) -> bytes:
        second = int(time.time())
        if second != self._second:
            self._second = second
            self._line = b"date: " + formatdate(second, usegmt=True).encode() + b"\r\n"
        return self._line


def header_lines(headers: Iterable[tuple[str, str]]) -> list[bytes]:
    """Header lines as bytes."""
    return [f"{name.lower()}: {value}\r\n".encode("latin-1") for name, value in headers]


def problem(error: ServiceError, instance: str, request_id: str) -> tuple[int, Sequence[bytes], bytes]:
    """Status, header lines and body of the answer for `error`."""
    return (
        STATUS[error.kind],
        header_lines(problem_headers(error).items()),
        problem_body(error, instance, request_id),
    )
