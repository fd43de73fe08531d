"""`python -m tmdb_simulator`: serve until SIGTERM or SIGINT."""

from __future__ import annotations

import os
import signal
import sys
import time

import uvicorn

from tmdb_simulator.app import create_app
from tmdb_simulator.films import FilmError, load_films
from tmdb_simulator.settings import Settings, SettingsError

# Seconds that requests in flight get to end; a hanging one never would.
_DRAIN = 2


def _stop(*_: object) -> None:
    """uvicorn drains, then raises the signal once more: that is a normal end, not a death."""
    sys.exit(0)


def main() -> None:
    """Read the settings and the films, then serve; exit status 2 when either is unusable."""
    signal.signal(signal.SIGTERM, _stop)
    try:
        settings = Settings.from_environment(os.environ)
        started = time.perf_counter()
        films = load_films(settings.films)
    except (SettingsError, FilmError) as error:
        sys.exit(_complain(error))
    seconds = time.perf_counter() - started
    print(f"{len(films)} films read in {seconds:.2f} s", file=sys.stderr)
    uvicorn.run(
        create_app(films, settings.token),
        host=settings.host,
        port=settings.port,
        access_log=False,  # /admin/requests shows the requests
        server_header=False,
        timeout_graceful_shutdown=_DRAIN,
    )


def _complain(error: Exception) -> int:
    print(f"tmdb-simulator: {error}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
