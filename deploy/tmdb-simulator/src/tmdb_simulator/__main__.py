"""`python -m tmdb_simulator`: serve until SIGTERM or SIGINT."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from types import FrameType

import uvicorn

from tmdb_simulator.app import create_app
from tmdb_simulator.films import FilmError, load_films
from tmdb_simulator.settings import Settings, SettingsError

# Seconds that requests in flight get to end.
_DRAIN = 2


class _Server(uvicorn.Server):
    """A server that ends the waits of faults when it is told to stop."""

    def __init__(self, config: uvicorn.Config, closing: asyncio.Event) -> None:
        super().__init__(config)
        self._closing = closing

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        self._closing.set()


def _stop(*_: object) -> None:
    """uvicorn drains, then raises the signal once more: that is a normal end, not a death."""
    sys.exit(0)


def main() -> None:
    """Read the settings and the films, then serve; exit status 2 when either is unusable."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stop)
    try:
        settings = Settings.from_environment(os.environ)
        started = time.perf_counter()
        films = load_films(settings.films)
    except (SettingsError, FilmError) as error:
        sys.exit(_complain(error))
    seconds = time.perf_counter() - started
    print(f"{len(films)} films read in {seconds:.2f} s", file=sys.stderr)
    app = create_app(films, settings.token)
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        access_log=False,  # /admin/requests shows the requests
        server_header=False,
        timeout_graceful_shutdown=_DRAIN,
    )
    _Server(config, app.state.closing).run()


def _complain(error: Exception) -> int:
    print(f"tmdb-simulator: {error}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    main()
