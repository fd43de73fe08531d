"""Names of packages cut into the parts that an index finds them by, wherever the text looked for begins.

LIKE compares character by character, by the weights of the collation. So a character is written as its weights with
their length in front, and a name contains a text just where one of its parts begins with the text's code: the same
answer as LIKE '%text%' gives, but read from one range of an index.
"""

from bisect import bisect_left, insort
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from sqlalchemy import collate, func, literal, select
from sqlalchemy.ext.asyncio import AsyncSession

from subscription.storage.tables import NAME_COLLATION

PART_BYTES = 64
"""Most characters take three, so texts of up to 21 are found without a look at the name."""
SHORT_BYTES = 9
"""Up to three characters are in so many names that their totals are kept."""

# Weights never change under a collation's name, so a process asks for each character once.
_known: dict[str, bytes] = {}
_KNOWN_LIMIT = 20_000
# Begins the weights that are made of a code point; nothing begins with the byte above it.
_MADE = 0xFB


@dataclass(frozen=True, slots=True)
class NamePart:
    """What a name is from one character on; `seen` bytes of that also begin at an earlier character."""

    code: bytes
    seen: int
    is_start: bool

    def short_terms(self) -> Iterator[bytes]:
        """The codes of the short texts that the name has here first."""
        end = 0
        while end < len(self.code):
            end += 1 + self.code[end]
            if end > min(SHORT_BYTES, len(self.code)):
                return
            if end > self.seen:
                yield self.code[:end]


async def codes_of(session: AsyncSession, characters: Collection[str]) -> Mapping[str, bytes]:
    """The code of each character, by the weights that the database gives it."""
    if len(_known) > _KNOWN_LIMIT:
        _known.clear()
    codes = {character: _known[character] for character in characters if character in _known}
    missing = sorted(set(characters) - codes.keys())
    for begin in range(0, len(missing), 500):
        asked = missing[begin : begin + 500]
        # Followed by a letter, because servers differ in what they make of a space at the end.
        columns = [
            func.hex(func.weight_string(collate(literal(f"{character}a"), NAME_COLLATION))).label(f"c{number}")
            for number, character in enumerate(asked)
        ]
        row = (await session.execute(select(*columns))).one()
        for character, weights in zip(asked, row, strict=True):
            codes[character] = _known[character] = _code_of(character, bytes.fromhex(weights)[:-2])
    return codes


def _code_of(character: str, weights: bytes) -> bytes:
    # Most Chinese characters are in no table of weights: theirs are made of the code point. LIKE takes such a one for
    # itself only, even where a radical or a sign in a circle has the same weights and `=` takes them for one.
    if len(weights) == 4 and weights[0] == _MADE:
        code_point = (weights[1] & 0x3F) << 15 | (weights[2] & 0x7F) << 8 | weights[3]
        if code_point == ord(character):
            weights = bytes([_MADE + 1]) + weights[1:]
    return bytes([len(weights)]) + weights


def encoded(text: str, codes: Mapping[str, bytes]) -> bytes:
    """The whole code of `text`."""
    return b"".join(codes[character] for character in text)


def parts_of(name: str, codes: Mapping[str, bytes]) -> list[NamePart]:
    """The parts of `name`, without those that are nothing but a repetition."""
    found: list[NamePart] = []
    earlier: list[bytes] = []
    for position in range(len(name)):
        part = encoded(name[position : position + PART_BYTES], codes)[:PART_BYTES]
        # Of all earlier parts, the neighbours in sorted order have most in common with this one.
        place = bisect_left(earlier, part)
        near = earlier[max(place - 1, 0) : place + 1]
        seen = max((_shared(part, other) for other in near), default=0)
        if seen < len(part):
            found.append(NamePart(part, seen, position == 0))
            insort(earlier, part)
    return found


def _shared(one: bytes, other: bytes) -> int:
    """How many bytes both begin with."""
    shorter = min(len(one), len(other))
    return next((position for position in range(shorter) if one[position] != other[position]), shorter)


def after_all_with(prefix: bytes) -> bytes:
    """The lowest code above all that begin with `prefix`, whose first byte is a length and never the highest."""
    stem = prefix.rstrip(b"\xff")
    return stem[:-1] + bytes([stem[-1] + 1])
