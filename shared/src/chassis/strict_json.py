"""JSON read strictly, where json.loads takes the last of repeated members, NaN, and what no UTF-8 can say."""

import json
import math
from collections.abc import Iterator
from typing import Any

from chassis.errors import FieldError, InvalidRequestError, MalformedJsonError


def _reject_constant(name: str) -> Any:
    raise MalformedJsonError(f"The body is not valid JSON: {name} is not a JSON value. Leave it out or send null.")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise InvalidRequestError(errors=[FieldError("", "a number is out of range")])
    return number


def _unique_members(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        names = [name for name, _ in pairs]
        repeated = sorted({name for name in names if names.count(name) > 1})
        raise InvalidRequestError(errors=[FieldError(f"/{name}", "is given more than once") for name in repeated])
    return members


def _unpaired_surrogates(value: Any, pointer: str = "") -> Iterator[FieldError]:
    if isinstance(value, str):
        try:
            value.encode()
        except UnicodeEncodeError:
            yield FieldError(pointer, "must not contain unpaired surrogates")
    elif isinstance(value, dict):
        for name, member in value.items():
            safe = name.encode("utf-8", "replace").decode()
            if safe != name:
                yield FieldError(pointer, "a member's name must not contain unpaired surrogates")
            else:
                yield from _unpaired_surrogates(member, f"{pointer}/{safe}")
    elif isinstance(value, list):
        for index, member in enumerate(value):
            yield from _unpaired_surrogates(member, f"{pointer}/{index}")


def parse_json(body: bytes) -> Any:
    """The value of a JSON text (RFC 8259, UTF-8).

    Raises `MalformedJsonError` when it is no JSON (NaN and Infinity included) and `InvalidRequestError` for
    repeated members, unpaired surrogates and numbers beyond a double.
    """
    try:
        value = json.loads(
            body.decode("utf-8"),
            object_pairs_hook=_unique_members,
            parse_constant=_reject_constant,
            parse_float=_finite,
        )
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise MalformedJsonError(f"The body is not valid JSON: look at {place}. Send a UTF-8 JSON object.") from error
    except (ValueError, RecursionError) as error:
        raise MalformedJsonError from error
    if refused := list(_unpaired_surrogates(value)):
        raise InvalidRequestError(errors=refused)
    return value
