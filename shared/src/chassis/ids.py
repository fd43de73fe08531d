"""Identifiers of things that we make: UUID version 7 (RFC 9562), which sort by the time they were made."""

import uuid

import uuid_utils


def new_id() -> uuid.UUID:
    """A new UUIDv7 as the standard library's class."""
    return uuid.UUID(bytes=uuid_utils.uuid7().bytes)
