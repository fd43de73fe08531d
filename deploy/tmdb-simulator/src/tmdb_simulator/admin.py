"""The simulator's own endpoints below `/admin`; TMDB has nothing like them."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from datetime import UTC, date, datetime, time
from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from tmdb_simulator.catalogue import Catalogue, now
from tmdb_simulator.faults import FaultError, FaultRegistry
from tmdb_simulator.films import FilmError, is_date, parse_film
from tmdb_simulator.genres import ENGLISH
from tmdb_simulator.request_log import RequestLog

Endpoint = Callable[[Request], Awaitable[Response]]


class AdminError(ValueError):
    """A request to an admin endpoint cannot be carried out."""


async def _read_json(request: Request) -> Any:
    try:
        return json.loads(await request.body())
    except ValueError:
        raise AdminError("the body is not JSON") from None


def _refusing(endpoint: Endpoint) -> Endpoint:
    """The endpoint, answering 422 with the reason when it cannot do what was asked."""

    async def refuse(request: Request) -> Response:
        try:
            return await endpoint(request)
        except (AdminError, FaultError, FilmError) as error:
            return JSONResponse({"error": str(error)}, 422)

    return refuse


def _parse_genres(source: Any) -> dict[int, str]:
    genres = source.get("genres") if isinstance(source, dict) else None
    if not isinstance(genres, list):
        raise AdminError('the body is not {"genres": [...]}')
    parsed: dict[int, str] = {}
    for genre in genres:
        match genre:
            case {"id": int(genre_id), "name": str(name)} if genre_id not in parsed:
                parsed[genre_id] = name
            case _:
                raise AdminError(f"not a genre, or one that is there twice: {genre!r}")
    return parsed


def _read_changed(request: Request) -> datetime:
    """When a change shall have happened: now, or at the noon of the day `changed_on`."""
    text = request.query_params.get("changed_on")
    if text is None:
        return now()
    if not is_date(text):
        raise AdminError("changed_on is not YYYY-MM-DD")
    return datetime.combine(date.fromisoformat(text), time(12), UTC)


class Admin:
    """Faults, the request log and changes of films and genres."""

    def __init__(self, catalogue: Catalogue, faults: FaultRegistry, log: RequestLog) -> None:
        self._catalogue = catalogue
        self._faults = faults
        self._log = log

    def routes(self) -> list[Route]:
        """The routes, methods as in the README."""
        table: list[tuple[str, str, Endpoint]] = [
            ("/admin/faults", "GET", self._show_faults),
            ("/admin/faults", "PUT", self._replace_faults),
            ("/admin/faults", "POST", self._add_fault),
            ("/admin/faults", "DELETE", self._clear_faults),
            ("/admin/faults/{fault_id:int}", "DELETE", self._remove_fault),
            ("/admin/requests", "GET", self._show_requests),
            ("/admin/requests", "DELETE", self._clear_requests),
            ("/admin/films/{film_id:int}", "PUT", self._put_film),
            ("/admin/films/{film_id:int}", "DELETE", self._remove_film),
            ("/admin/genres", "GET", self._show_genres),
            ("/admin/genres", "PUT", self._put_genres),
            ("/admin/genres", "DELETE", self._reset_genres),
        ]
        return [Route(path, _refusing(endpoint), methods=[method]) for path, method, endpoint in table]

    async def _show_faults(self, _: Request) -> Response:
        return JSONResponse({"faults": self._faults.describe()})

    async def _replace_faults(self, request: Request) -> Response:
        source = await _read_json(request)
        sources = source.get("faults") if isinstance(source, dict) else None
        if not isinstance(sources, list):
            raise AdminError('the body is not {"faults": [...]}')
        self._faults.replace(sources)
        return await self._show_faults(request)

    async def _add_fault(self, request: Request) -> Response:
        fault = self._faults.add(await _read_json(request))
        return JSONResponse(fault.describe(), 201)

    async def _clear_faults(self, _: Request) -> Response:
        self._faults.clear()
        return Response(status_code=204)

    async def _remove_fault(self, request: Request) -> Response:
        found = self._faults.remove(request.path_params["fault_id"])
        return Response(status_code=204 if found else 404)

    async def _show_requests(self, request: Request) -> Response:
        query = request.query_params
        return JSONResponse(self._log.describe(query.get("path", ""), query.get("since", "")))

    async def _clear_requests(self, _: Request) -> Response:
        self._log.clear()
        return Response(status_code=204)

    async def _put_film(self, request: Request) -> Response:
        source = await _read_json(request)
        film_id = request.path_params["film_id"]
        if not isinstance(source, dict) or source.get("id", film_id) != film_id:
            raise AdminError("the body is not a film, or its id is not that of the path")
        film = parse_film({**source, "id": film_id})
        is_new = self._catalogue.put_film(film, _read_changed(request))
        return JSONResponse(film.row("en"), 201 if is_new else 200)

    async def _remove_film(self, request: Request) -> Response:
        changed = _read_changed(request)
        found = self._catalogue.remove_film(request.path_params["film_id"], changed)
        return Response(status_code=204 if found else 404)

    async def _show_genres(self, _: Request) -> Response:
        genres = self._catalogue.genres().items()
        return JSONResponse({"genres": [{"id": genre, "name": name} for genre, name in genres]})

    async def _put_genres(self, request: Request) -> Response:
        self._catalogue.put_genres(_parse_genres(await _read_json(request)))
        return await self._show_genres(request)

    async def _reset_genres(self, _: Request) -> Response:
        self._catalogue.put_genres(ENGLISH)
        return Response(status_code=204)
