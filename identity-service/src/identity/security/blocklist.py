"""The list of common passwords, made by `tools/common_passwords.py`."""

from functools import cache
from importlib.resources import files


@cache
def common_passwords() -> frozenset[str]:
    """Passwords that are guessed first and are long enough to be accepted otherwise; case-folded."""
    text = files("identity.security").joinpath("common_passwords.txt").read_text("utf-8")
    return frozenset(line for line in text.splitlines() if line and not line.startswith("#"))
