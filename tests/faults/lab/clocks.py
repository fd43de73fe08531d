"""Programs that believe in another time."""

from collections.abc import Mapping

from localstack import bootstrap


def skewed(seconds: int) -> Mapping[str, str]:
    """The environment of a program whose wall clock is `seconds` ahead; durations are measured as ever."""
    library = bootstrap.ensure_false_clock(lambda _: None)
    return {"LD_PRELOAD": str(library), "FAKETIME": f"{seconds:+d}s", "FAKETIME_DONT_FAKE_MONOTONIC": "1"}
