"""`python -m mail_catcher`: serve SMTP and HTTP until SIGTERM or SIGINT."""

from __future__ import annotations

import os
import signal
import sys

import uvicorn

from mail_catcher.app import create_app
from mail_catcher.settings import Settings, SettingsError

# Seconds that requests in flight get to end.
_DRAIN_SECONDS = 2


def _stop(*_: object) -> None:
    """uvicorn drains, then raises the signal once more: that is a normal end, not a death."""
    sys.exit(0)


def main() -> None:
    """Read the settings, then serve; exit status 2 when a setting cannot be used."""
    signal.signal(signal.SIGTERM, _stop)
    try:
        settings = Settings.from_environment(os.environ)
    except SettingsError as error:
        print(f"mail-catcher: {error}", file=sys.stderr)
        sys.exit(2)
    uvicorn.run(
        create_app(settings),
        host=settings.host,
        port=settings.http_port,
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=_DRAIN_SECONDS,
    )


if __name__ == "__main__":
    main()
