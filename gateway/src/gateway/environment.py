"""Settings read from environment variables into a dataclass whose fields are annotated with what reads them.

The services use pydantic-settings. The gateway has nothing else to do with pydantic, which would be a fifth of
each replica's memory.
"""

import dataclasses
import math
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, get_args

T = TypeVar("T")
Reader = Callable[[str], T]
"""Turns the text of a variable into its value; raises `ValueError` that says what would do, never the text itself."""

_TRUE, _FALSE = frozenset({"1", "true", "yes", "on"}), frozenset({"0", "false", "no", "off"})


class InvalidSettingsError(ValueError):
    """Names each variable that is missing or unusable, and never a value, which may be a secret."""


def _reader(field: "dataclasses.Field[Any]") -> Reader[Any]:
    (reader,) = get_args(field.type)[1:]
    found: Reader[Any] = reader
    return found


def names(settings: type, prefix: str) -> dict[str, str]:
    """The variable of each field."""
    return {field.name: f"{prefix}{field.name.upper()}" for field in dataclasses.fields(settings)}


def read(settings: type[T], prefix: str, environment: Mapping[str, str]) -> T:
    """`settings` as `environment` has them. Raises `InvalidSettingsError`."""
    values: dict[str, Any] = {}
    wrong: list[str] = []
    variables = names(settings, prefix)
    for field in dataclasses.fields(settings):  # type: ignore[arg-type]  # any dataclass
        variable = variables[field.name]
        given = environment.get(variable)
        if given is None:
            if field.default is dataclasses.MISSING:
                wrong.append(f"{variable} is missing")
            continue
        try:
            values[field.name] = _reader(field)(given.strip())
        except ValueError as error:
            wrong.append(f"{variable} {error}")
    if wrong:
        raise InvalidSettingsError("; ".join(wrong))
    return settings(**values)


def text(*, least: int = 0) -> Reader[str]:
    """Any text of at least so many characters."""

    def reader(value: str) -> str:
        if len(value) < least:
            raise ValueError(f"must have at least {least} characters")
        return value

    return reader


def whole(least: int, most: int | None = None) -> Reader[int]:
    """A whole number."""

    def reader(value: str) -> int:
        number = int(value) if value.isascii() and value.isdigit() else -1
        if number < least or (most is not None and number > most):
            raise ValueError(f"must be a whole number from {least}" + ("" if most is None else f" to {most}"))
        return number

    return reader


def number(*, above: float | None = None, least: float = 0.0, most: float = math.inf) -> Reader[float]:
    """A finite number greater than `above`, or of at least `least`."""

    def reader(value: str) -> float:
        try:
            found = float(value)
        except ValueError:
            found = math.nan
        if not math.isfinite(found) or found < least or found > most or (above is not None and found <= above):
            limits = f"of at least {least}" if above is None else f"above {above}"
            raise ValueError(f"must be a number {limits}" + ("" if most == math.inf else f" and at most {most}"))
        return found

    return reader


def flag(value: str) -> bool:
    """Yes or no."""
    if (lower := value.lower()) in _TRUE | _FALSE:
        return lower in _TRUE
    raise ValueError("must be true or false")


def items(value: str) -> list[str]:
    """A list, comma-separated."""
    return [part.strip() for part in value.split(",") if part.strip()]


def urls(value: str) -> list[str]:
    """At least one URL, comma-separated; a slash at the end is left away."""
    found = [part.rstrip("/") for part in items(value)]
    if not found or not all(url.startswith(("http://", "https://")) for url in found):
        raise ValueError("must be URLs, separated by commas")
    return found
