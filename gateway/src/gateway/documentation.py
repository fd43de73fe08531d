"""The services' documents, fetched in the background, and what is made of them: one document, one list of problems."""

import asyncio
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from chassis.errors import MethodNotAllowedError
from chassis.problem_documents import MEDIA_TYPE, problem_examples
from gateway.errors import DocumentationUnavailableError
from gateway.fetch import FetchError, fetch_object
from gateway.openapi import Document, gateway_problems, merge
from gateway.routing import LOCAL, Route

_log = logging.getLogger(__name__)

_MAX_DOCUMENT_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class AnsweredBy:
    """An operation that can answer with a problem."""

    name: str
    """Method and path template."""
    tag: str
    operation_id: str


@dataclass(frozen=True, slots=True)
class KnownProblem:
    """A problem that some request can meet: an example of it, and the operations that say so."""

    example: Mapping[str, Any]
    operations: tuple[AnsweredBy, ...]


@dataclass(frozen=True, slots=True)
class _Rendered:
    body: bytes
    problems: Mapping[str, KnownProblem]


def _examples(response: Mapping[str, Any]) -> Iterator[Mapping[str, Any]]:
    for example in response.get("content", {}).get(MEDIA_TYPE, {}).get("examples", {}).values():
        yield example["value"]


def _operations(document: Document) -> Iterator[tuple[AnsweredBy, Mapping[str, Any]]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            yield AnsweredBy(f"{method.upper()} {path}", operation["tags"][0], operation["operationId"]), operation


def list_problems(document: Document, routes: Sequence[Route]) -> dict[str, KnownProblem]:
    """Every problem of the merged `document`, and those that belong to no operation, by code."""
    examples: dict[str, Mapping[str, Any]] = {}
    answered_by: dict[str, list[AnsweredBy]] = {}
    shared = document["components"].get("responses", {})
    for answering, operation in _operations(document):
        for response in operation["responses"].values():
            name = response.get("$ref", "").rpartition("/")[2]
            for example in _examples(shared[name] if name else response):
                examples.setdefault(example["code"], example)
                answered_by.setdefault(example["code"], []).append(answering)
    of_no_operation = problem_examples(MethodNotAllowedError, DocumentationUnavailableError)
    # Of a service whose document has not come yet the gateway's own problems are known.
    for responses in (of_no_operation, *(gateway_problems(route, has_body=True) for route in routes)):
        for response in responses.values():
            for example in _examples(response):
                examples.setdefault(example["code"], example)
    return {code: KnownProblem(examples[code], tuple(answered_by.get(code, ()))) for code in sorted(examples)}


class Documentation:
    """Keeps the last good documents of the services."""

    _SOON_SECONDS = 1.0
    _LATER_SECONDS = 60.0

    def __init__(self, upstreams: Mapping[str, Sequence[str]]) -> None:
        self._upstreams = upstreams
        self._documents: dict[str, Document] = {}
        self._lock = asyncio.Lock()
        self._rendered: _Rendered | None = None
        self._rendered_routes: Sequence[Route] = ()

    async def keep_fresh(self) -> None:
        """Fetch for ever: soon again while a document is missing, now and then otherwise."""
        while True:
            await self._refresh(self._upstreams)
            await asyncio.sleep(self._SOON_SECONDS if self._missing() else self._LATER_SECONDS)

    async def body(self, routes: Sequence[Route]) -> bytes | None:
        """The merged document as JSON; None when no service has published anything yet."""
        if missing := self._missing():
            async with self._lock:
                await self._refresh(missing & self._missing())
        return self._render(routes).body if self._documents else None

    @property
    def is_complete(self) -> bool:
        return not self._missing()

    def problems(self, routes: Sequence[Route]) -> Mapping[str, KnownProblem]:
        """Every problem that some request can meet, by its code."""
        return self._render(routes).problems

    def _render(self, routes: Sequence[Route]) -> _Rendered:
        # Merging takes a tenth of a second, in which nothing else is served: so once for each change.
        if self._rendered is None or routes is not self._rendered_routes:
            document = merge(self._documents, routes)
            self._rendered = _Rendered(orjson.dumps(document), list_problems(document, routes))
            self._rendered_routes = routes
        return self._rendered

    def _missing(self) -> set[str]:
        return set(self._upstreams) - set(self._documents) - {LOCAL}

    async def _refresh(self, names: Iterable[str]) -> None:
        fetched = await asyncio.gather(*(self._fetch(name) for name in names))
        for name, document in fetched:
            if document is not None and document != self._documents.get(name):
                self._documents[name] = document
                self._rendered = None

    async def _fetch(self, name: str) -> tuple[str, Document | None]:
        for url in self._upstreams[name]:
            try:
                document = await fetch_object(f"{url}/openapi.json", seconds=3.0, max_bytes=_MAX_DOCUMENT_BYTES)
                if isinstance(document.get("paths"), dict):
                    return name, document
            except FetchError as error:
                _log.debug("document of %s not fetched: %s", name, error)
        return name, None
