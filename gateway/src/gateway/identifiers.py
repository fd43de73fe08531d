"""Request id and trace context of each request, made without a system call."""

import random

import uuid_utils

from chassis import context


def request_id(offered: bytes | None) -> str:
    """The client's id when it is a sane token, else a new UUIDv7."""
    return context.accept_request_id(offered.decode("latin-1")) if offered else str(uuid_utils.uuid7())


def traceparent(offered: bytes | None) -> str:
    """The client's trace continued, or a new one (W3C Trace Context; its ids are random but no secrets)."""
    if offered:
        return context.continue_trace(offered.decode("latin-1"))
    bits = random.getrandbits(192) | 1 << 191 | 1
    text = f"{bits:048x}"
    return f"00-{text[:32]}-{text[32:]}-00"
