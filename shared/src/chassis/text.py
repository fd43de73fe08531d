"""Titles as people search them: without regard to case and accents, by the beginnings of words.

Every service that searches titles does it by these functions, so that one search finds the same in all of them.
"""

import re
import unicodedata

# Letters that Unicode does not take apart into a base and a mark, although readers see an accent.
_UNDECOMPOSED = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "ħ": "h", "ŧ": "t", "ı": "i", "æ": "ae", "œ": "oe"})
_APOSTROPHES = re.compile("['’ʼ`´]")
_WORD = re.compile(r"[^\W_]+")


def fold(text: str) -> str:
    """`text` in the form in which it is compared: no case, no accents, one blank between words."""
    # Symbols that people do not type (™, ½) are taken apart as well; NFC afterwards puts Korean syllables together.
    apart = unicodedata.normalize("NFKD", text.casefold()).casefold()
    bare = "".join(c for c in apart if unicodedata.category(c) != "Mn").translate(_UNDECOMPOSED)
    return " ".join(unicodedata.normalize("NFC", bare).split())


def words(text: str) -> frozenset[str]:
    """The words of a title, each of which a search may name the beginning of.

    A word with an apostrophe counts whole and in parts (`ocean's`: oceans, ocean, s), so that both ways of
    typing it find it. A chunk of symbols alone ("&", "$") is a word too: there are films called so.
    """
    found: set[str] = set()
    for chunk in fold(text).split():
        joined = _WORD.findall(_APOSTROPHES.sub("", chunk))
        found.update(joined, _WORD.findall(chunk))
        if not joined:
            found.add(chunk)
    return frozenset(found)


def searched_words(text: str) -> tuple[str, ...]:
    """What a search for `text` asks for: beginnings of words, all of which have to be met.

    Symbols count only when there is nothing else, and a beginning that another one implies is left out.
    """
    chunks = fold(text).split()
    wanted = {word for chunk in chunks for word in _WORD.findall(_APOSTROPHES.sub("", chunk))} or set(chunks)
    return tuple(
        sorted(word for word in wanted if not any(other != word and other.startswith(word) for other in wanted))
    )
