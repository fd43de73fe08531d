"""The film file, the packaged list and the settings."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from tmdb_simulator.films import FilmError, load_films
from tmdb_simulator.genres import ENGLISH, TRANSLATIONS
from tmdb_simulator.settings import PACKAGED_FILMS, Settings, SettingsError


def write(directory: Path, *lines: str) -> Path:
    path = directory / "films.jsonl"
    path.write_text("\n".join(lines), encoding="utf-8")
    return path


def test_the_packaged_list_covers_every_genre() -> None:
    films = load_films(PACKAGED_FILMS).values()
    used = Counter(genre for film in films for genre in film.genre_ids)
    assert len(films) >= 300
    assert set(used) == set(ENGLISH)
    assert min(used.values()) >= 8


def test_the_packaged_films_are_complete() -> None:
    for film in load_films(PACKAGED_FILMS).values():
        assert film.title
        assert film.original_title
        assert film.release_date
        assert film.genre_ids
        assert len(film.genre_ids) == len(set(film.genre_ids))
        assert 40 < len(film.overview) < 200, film.title
        assert 0 < film.vote_average <= 10
        assert film.popularity > 0
        assert film.poster_path is None
    overviews = Counter(film.overview for film in load_films(PACKAGED_FILMS).values())
    assert max(overviews.values()) == 1


def test_translated_genres_are_complete() -> None:
    for names in TRANSLATIONS.values():
        assert list(names) == list(ENGLISH)
        assert all(name.strip() for name in names.values())


def test_keys_of_other_tools_and_blank_lines_are_ignored(tmp_path: Path) -> None:
    path = write(tmp_path, '{"id": 1, "title": "A", "src": "x", "homepage": "h"}', "", "  ")
    film = load_films(path)[1]
    assert film.title == film.original_title == "A"
    assert film.details == {"homepage": "h"}


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("{", "Expecting"),
        ("[]", "not a JSON object"),
        ('{"title": "B"}', "id has the wrong type"),
        ('{"id": 2}', "title has the wrong type"),
        ('{"id": 2147483648, "title": "B"}', "out of bounds"),
        ('{"id": 1, "title": "B"}', "twice"),
    ],
)
def test_a_line_that_is_no_film_is_named(tmp_path: Path, line: str, reason: str) -> None:
    path = write(tmp_path, '{"id": 1, "title": "A"}', line)
    with pytest.raises(FilmError, match=f"line 2: .*{reason}"):
        load_films(path)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(FilmError, match="cannot be read"):
        load_films(tmp_path / "absent.jsonl")
    (tmp_path / "latin.jsonl").write_bytes(b'{"id": 1, "title": "\xe9"}')
    with pytest.raises(FilmError, match="cannot be read"):
        load_films(tmp_path / "latin.jsonl")


def test_an_infinite_number_is_refused(tmp_path: Path) -> None:
    path = write(tmp_path, json.dumps({"id": 1, "title": "A", "popularity": float("inf")}))
    with pytest.raises(FilmError, match="popularity"):
        load_films(path)


def test_settings_default_to_the_packaged_list_on_the_loopback() -> None:
    assert Settings.from_environment({"TMDB_SIMULATOR_PORT": ""}) == Settings()
    assert Settings().films == PACKAGED_FILMS
    assert (Settings().host, Settings().port, Settings().token) == ("127.0.0.1", 8105, None)


def test_settings_are_read_from_the_environment() -> None:
    settings = Settings.from_environment(
        {
            "TMDB_SIMULATOR_HOST": "0.0.0.0",
            "TMDB_SIMULATOR_PORT": "9000",
            "TMDB_SIMULATOR_FILMS": "films.jsonl",
            "TMDB_SIMULATOR_TOKEN": "secret",
        }
    )
    assert settings == Settings("0.0.0.0", 9000, Path("films.jsonl"), "secret")


@pytest.mark.parametrize("port", ["http", "-1", "65536", "80.5"])
def test_a_port_that_is_none_is_refused(port: str) -> None:
    with pytest.raises(SettingsError, match="TMDB_SIMULATOR_PORT"):
        Settings.from_environment({"TMDB_SIMULATOR_PORT": port})
