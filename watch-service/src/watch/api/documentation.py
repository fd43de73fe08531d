"""What the OpenAPI document says about several routes."""

from typing import Any

from chassis.errors import InvalidRequestError, MalformedRequestError, UnauthenticatedError
from chassis.mongo import StoreUnavailableError
from chassis.tokens import InvalidTokenError
from watch.api.negotiation import CSV

# Problems that every route can answer.
ALWAYS = (
    MalformedRequestError,
    UnauthenticatedError,
    InvalidTokenError,
    InvalidRequestError,
    StoreUnavailableError,
)

NOT_MODIFIED: dict[int | str, dict[str, Any]] = {304: {"description": "What you have is current."}}
AS_CSV: dict[int | str, dict[str, Any]] = {200: {"content": {CSV: {"schema": {"type": "string"}}}}}
