"""Request id and trace context of each request, made without a system call."""

import random

import uuid_utils

from chassis import context

_bits = random.getrandbits


def request_id(offered: bytes | None) -> str:
    """The client's id when it is a sane token, else a new UUIDv7."""
    return context.accept_request_id(offered.decode("latin-1")) if offered else str(uuid_utils.uuid7())


def traceparent(offered: bytes | None) -> str:
    """The client's trace continued, or a new one (W3C Trace Context; its ids are random but no secrets)."""
    if offered:
        return context.continue_trace(offered.decode("latin-1"))
    return f"00-{_bits(128) | 1:032x}-{_bits(64) | 1:016x}-00"


def is_continued(offered: bytes | None, made: str) -> bool:
    """Whether `made` belongs to the trace that the client `offered`."""
    return offered is not None and offered[3:35].decode("latin-1") == made[3:35]
