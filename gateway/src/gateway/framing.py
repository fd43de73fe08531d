"""How bodies are framed on the wire (RFC 9112, sections 6 and 7)."""

from collections.abc import Sequence

CHUNKED = b"transfer-encoding: chunked\r\n"
LAST_CHUNK = b"0\r\n\r\n"
_METHODS_WITH_BODY = (b"POST", b"PUT", b"PATCH")


def chunk(data: bytes) -> tuple[bytes, bytes, bytes]:
    """`data` as one chunk."""
    return b"%x\r\n" % len(data), data, b"\r\n"


def end_of_request(method: bytes, parts: Sequence[bytes], length: int | None, *, complete: bool) -> list[bytes]:
    """The framing header of a request to a service, the end of its head, and the `parts` of its body so far.

    A complete body gets its exact length, however it came. One that goes on has the `length` that the client
    announced, or comes in chunks when there is none.
    """
    if complete:
        size = sum(map(len, parts))
        if size or method in _METHODS_WITH_BODY:
            return [b"content-length: %d\r\n\r\n" % size, *parts]
        return [b"\r\n"]
    if length is not None:
        return [b"content-length: %d\r\n\r\n" % length, *parts]
    return [CHUNKED, b"\r\n", *(piece for part in parts for piece in chunk(part))]
