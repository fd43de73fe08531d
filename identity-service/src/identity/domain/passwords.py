"""Which passwords are acceptable (NIST SP 800-63B-4, section 3.1.1.2; OWASP ASVS 5.0, 6.2)."""

import re
import unicodedata
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from itertools import pairwise

MAX_PASSWORD_CHARACTERS = 128
# Accepted as input where a password is only compared, so that nobody can make us normalise megabytes.
MAX_INPUT_CHARACTERS = 1024
PRODUCT_NAMES = ("movie-package-suite", "movie packages")
_MIN_CONTEXT_CHARACTERS = 4
_MAX_REPEATED_UNIT = 4
# Longer ones, and those of other alphabets, are on nobody's list of common passwords: any characters will do.
_MAX_COMMON_PATTERN_CHARACTERS = 20


def normalise(password: str) -> str:
    """The password in Unicode normalisation form C, in which it is measured and hashed.

    The same password typed on two devices may reach us composed or decomposed.
    """
    return unicodedata.normalize("NFC", password)


def _squeeze(text: str) -> str:
    return "".join(character for character in text.casefold() if character.isalnum())


def _is_common_pattern(password: str) -> bool:
    short = len(password) <= _MAX_COMMON_PATTERN_CHARACTERS and password.isascii()
    return short and (_repeats(password) or _is_sequence(password))


def _repeats(password: str) -> bool:
    return any(
        password == (password[:size] * len(password))[: len(password)] for size in range(1, _MAX_REPEATED_UNIT + 1)
    )


def _is_sequence(password: str) -> bool:
    steps = {(ord(right) - ord(left)) for left, right in pairwise(password)}
    # 890 and 098: the row of digits goes on from its other end.
    if password.isdecimal():
        steps = {(step + 1) % 10 - 1 for step in steps}
    return steps in ({1}, {-1})


@dataclass(frozen=True, slots=True)
class PasswordPolicy:
    """Length counted in code points after NFC, and no password that is among the first to be guessed."""

    min_characters: int
    common: AbstractSet[str]

    def objection(self, password: str, *, email: str | None = None, name: str | None = None) -> str | None:
        """Why `password` is refused, as the end of a sentence; None when it is acceptable."""
        normal = normalise(password)
        if len(normal) < self.min_characters:
            return f"must have at least {self.min_characters} characters"
        if len(normal) > MAX_PASSWORD_CHARACTERS:
            return f"must have at most {MAX_PASSWORD_CHARACTERS} characters"
        folded = normal.casefold()
        if folded in self.common:
            return "is one of the most common passwords"
        if _is_common_pattern(folded):
            return "is a short repetition or sequence, which is among the most common passwords"
        if _is_about(folded, email, name):
            return "must not be the e-mail address, the name or the name of this service"
        return None


def _is_about(folded: str, email: str | None, name: str | None) -> bool:
    words = [*PRODUCT_NAMES, name or "", email or "", (email or "").partition("@")[0]]
    context = {word for word in map(_squeeze, words) if len(word) >= _MIN_CONTEXT_CHARACTERS}
    squeezed = _squeeze(folded)
    return squeezed in context or re.sub(r"^\d+|\d+$", "", squeezed) in context
