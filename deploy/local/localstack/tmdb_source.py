"""Have the catalog ask TMDB again when what stands for TMDB has been exchanged.

The catalog asks for movies once a day. Somebody who starts the stack with another film file, or with a token for
the real TMDB for the first time, should not have to wait for that.
"""

from __future__ import annotations

import hashlib
import http.client
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from localstack.plan import Plan

_TIMEOUT_SECONDS = 30


def refresh(plan: Plan, say: Callable[[str], None]) -> None:
    """Ask for a synchronisation if the source differs from that of the last start."""
    note = plan.state.path / "tmdb-source"
    before = note.read_text() if note.exists() else None
    now = _source(plan)
    if before == now:
        return
    if before is not None:
        if _ask(plan):
            say("TMDB's films have changed since the last start: the catalog is fetching them")
        else:
            say("TMDB's films have changed since the last start; have them fetched with POST /v1/sync")
    note.write_text(now)


def _source(plan: Plan) -> str:
    if not plan.simulates_tmdb:
        return "tmdb"
    films = plan.settings.get("TMDB_SIMULATOR_FILMS")
    return hashlib.sha256(Path(films).read_bytes()).hexdigest() if films else "simulator"


def _ask(plan: Plan) -> bool:
    credentials = {"email": plan.settings["ADMIN_EMAIL"], "password": plan.settings["ADMIN_PASSWORD"]}
    try:
        status, tokens = _post(plan, "/v1/auth/login", credentials, {})
        if status != http.client.OK:
            return False
        status, _ = _post(plan, "/v1/sync", None, {"authorization": f"Bearer {tokens['accessToken']}"})
    except (OSError, http.client.HTTPException, ValueError):
        return False
    # 409: one is running already, with the new source.
    return status in (http.client.ACCEPTED, http.client.CONFLICT)


def _post(plan: Plan, path: str, body: object, headers: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
    connection = http.client.HTTPConnection("127.0.0.1", plan.ports.of("gateway"), timeout=_TIMEOUT_SECONDS)
    try:
        content = None if body is None else json.dumps(body)
        connection.request("POST", path, content, {"content-type": "application/json", **headers})
        answer = connection.getresponse()
        content_read = answer.read()
        return answer.status, json.loads(content_read) if content_read else {}
    finally:
        connection.close()
