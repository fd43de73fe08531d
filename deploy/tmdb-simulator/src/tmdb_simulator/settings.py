"""Settings, from environment variables."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

DEFAULT_HOST = "127.0.0.1"
DEFAULT_PORT = 8105
PACKAGED_FILMS = Path(__file__).with_name("films.jsonl")


class SettingsError(ValueError):
    """A setting has a value that cannot be used."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the process is told at its start.

    `token` is the only credential accepted; None accepts any that is not empty.
    """

    host: str = DEFAULT_HOST
    port: int = DEFAULT_PORT
    films: Path = PACKAGED_FILMS
    token: str | None = None

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> Settings:
        """Read the TMDB_SIMULATOR_* variables; an empty one counts as unset.

        Raises SettingsError for a port that is not one.
        """
        port = environment.get("TMDB_SIMULATOR_PORT") or str(DEFAULT_PORT)
        if not port.isascii() or not port.isdigit() or int(port) > 65535:
            raise SettingsError(f"TMDB_SIMULATOR_PORT is not a port number: {port!r}")
        films = environment.get("TMDB_SIMULATOR_FILMS")
        return cls(
            host=environment.get("TMDB_SIMULATOR_HOST") or DEFAULT_HOST,
            port=int(port),
            films=Path(films) if films else PACKAGED_FILMS,
            token=environment.get("TMDB_SIMULATOR_TOKEN") or None,
        )
