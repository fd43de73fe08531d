"""The whole mission by many people at once: `python -m bench.load --help`."""

# Before anything else of this package: it makes sockets cooperative, which has to happen before anybody opens one.
import locust  # noqa: F401
