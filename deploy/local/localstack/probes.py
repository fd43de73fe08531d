"""Is a process ready? Asked from outside, the way its clients would."""

from __future__ import annotations

import http.client
import socket
from urllib.parse import urlsplit

_TIMEOUT_SECONDS = 2.0


def passes(probe: str) -> bool:
    """Whether the probe is answered well now.

    `tcp://host:port` accepts a connection, `greeting://host:port` also speaks first (MySQL and SMTP do),
    `http://host:port/path` answers with a status below 400.
    """
    parts = urlsplit(probe)
    address = (parts.hostname or "127.0.0.1", parts.port or 0)
    try:
        if parts.scheme == "http":
            return _http(address, parts.path or "/")
        with socket.create_connection(address, _TIMEOUT_SECONDS) as connection:
            return parts.scheme == "tcp" or bool(connection.recv(1))
    except (OSError, http.client.HTTPException):
        return False


def _http(address: tuple[str, int], path: str) -> bool:
    connection = http.client.HTTPConnection(*address, timeout=_TIMEOUT_SECONDS)
    try:
        connection.request("GET", path)
        return connection.getresponse().status < 400
    finally:
        connection.close()
