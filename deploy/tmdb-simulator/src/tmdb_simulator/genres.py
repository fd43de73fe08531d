"""The movie genres as TMDB lists them, in its order, and their names in a few languages."""

from __future__ import annotations

from typing import Final

ENGLISH: Final = {
    28: "Action",
    12: "Adventure",
    16: "Animation",
    35: "Comedy",
    80: "Crime",
    99: "Documentary",
    18: "Drama",
    10751: "Family",
    14: "Fantasy",
    36: "History",
    27: "Horror",
    10402: "Music",
    9648: "Mystery",
    10749: "Romance",
    878: "Science Fiction",
    10770: "TV Movie",
    53: "Thriller",
    10752: "War",
    37: "Western",
}

_GERMAN: Final = (
    "Action|Abenteuer|Animation|Komödie|Krimi|Dokumentarfilm|Drama|Familie|Fantasy|Historie|"
    "Horror|Musik|Mystery|Liebesfilm|Science Fiction|TV-Film|Thriller|Kriegsfilm|Western"
)
_FRENCH: Final = (
    "Action|Aventure|Animation|Comédie|Crime|Documentaire|Drame|Familial|Fantastique|Histoire|"
    "Horreur|Musique|Mystère|Romance|Science-Fiction|Téléfilm|Thriller|Guerre|Western"
)
_SPANISH: Final = (
    "Acción|Aventura|Animación|Comedia|Crimen|Documental|Drama|Familia|Fantasía|Historia|"
    "Terror|Música|Misterio|Romance|Ciencia ficción|Película de TV|Suspense|Bélica|Western"
)
# TMDB's Danish list carries a trailing blank in the name of 36, and some names never translated.
_DANISH: Final = (
    "Action|Eventyr|Animation|Komedie|Kriminalitet|Documentary|Drama|Familie|Fantasy|Historie |"
    "Gyser|Musik|Mysterium|Romantik|Sci-fi|TV film|Thriller|Krig|Western"
)

TRANSLATIONS: Final = {
    language: dict(zip(ENGLISH, names.split("|"), strict=True))
    for language, names in {
        "de": _GERMAN,
        "fr": _FRENCH,
        "es": _SPANISH,
        "da": _DANISH,
    }.items()
}


def primary_language(language: str) -> str:
    """The ISO 639-1 part of a `language` parameter: `pt-BR` gives `pt`."""
    return language.partition("-")[0].lower()
