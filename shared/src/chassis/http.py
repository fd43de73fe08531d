"""HTTP to the suite's other services: bounded time, several replicas, the request's ids carried along."""

import itertools
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import httpx
import tenacity

from chassis import context, tracing
from chassis.errors import UnavailableError

_log = logging.getLogger(__name__)


class PeerUnavailableError(UnavailableError):
    """A service that this answer depends on did not answer, or answered with an error of its own."""

    code = "dependency-unavailable"
    title = "Dependency unavailable"


class _TransientAnswer(Exception):  # noqa: N818 - never leaves this module
    """An answer that another replica or a moment later may do better."""

    def __init__(self, answer: httpx.Response) -> None:
        self.answer = answer


class Peer:
    """One neighbouring service, reached at any of its replicas.

    `urls` are base URLs. Each try goes to the next replica; a failure to connect, a time-out and 502, 503 and
    504 are tried again `attempts` times in all within `deadline_seconds`, for idempotent requests only.
    """

    def __init__(  # noqa: PLR0913 - each limit is one operators ask for
        self,
        name: str,
        urls: Sequence[str],
        *,
        timeout_seconds: float = 2.0,
        deadline_seconds: float = 5.0,
        attempts: int = 3,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._name = name
        self._urls = tuple(urls)
        self._next_replica = itertools.count()
        self._deadline_seconds = deadline_seconds
        self._attempts = attempts
        self._client = httpx.AsyncClient(
            timeout=httpx.Timeout(timeout_seconds, connect=min(1.0, timeout_seconds)),
            limits=httpx.Limits(max_connections=100, max_keepalive_connections=50, keepalive_expiry=4.0),
            follow_redirects=False,
            trust_env=False,
            transport=transport,
        )

    async def aclose(self) -> None:
        await self._client.aclose()

    async def get(
        self, path: str, *, token: str, params: Any = None, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        """GET `path` with `token` as bearer. Raises `PeerUnavailableError` when no usable answer comes."""
        return await self.request("GET", path, token=token, params=params, headers=headers, idempotent=True)

    async def request(  # noqa: PLR0913 - these are the parts of a request
        self,
        method: str,
        path: str,
        *,
        token: str,
        params: Any = None,
        json: Any = None,
        headers: Mapping[str, str] | None = None,
        idempotent: bool = False,
    ) -> httpx.Response:
        """Send one request. An answer of 5xx is never returned: it raises `PeerUnavailableError`."""
        sent = {**context.outgoing_headers(), **(headers or {}), "authorization": f"Bearer {token}"}

        # Counted for each request by itself: with one turn for all, requests at the same time would take the living
        # replicas from each other, and one of them might meet a dead one at every try.
        replicas = itertools.count(next(self._next_replica))

        async def once() -> httpx.Response:
            url = self._urls[next(replicas) % len(self._urls)] + path
            with self._traced(method, url, sent) as (span, own):
                answer: httpx.Response = await self._client.request(method, url, params=params, json=json, headers=own)
                if span is not None:
                    span.describe({"http.response.status_code": answer.status_code})
                if answer.status_code in (502, 503, 504):
                    raise _TransientAnswer(answer)
                return answer

        retrying = tenacity.AsyncRetrying(
            stop=tenacity.stop_any(
                tenacity.stop_after_attempt(self._attempts if idempotent else 1),
                tenacity.stop_after_delay(self._deadline_seconds),
            ),
            wait=tenacity.wait_random_exponential(multiplier=0.05, max=0.5),
            retry=tenacity.retry_if_exception_type((httpx.TransportError, _TransientAnswer)),
            reraise=True,
        )
        try:
            answer: httpx.Response = await retrying(once)
        except httpx.HTTPError as error:
            _log.warning("peer does not answer", extra={"peer": self._name, "reason": type(error).__name__})
            raise PeerUnavailableError from error
        except _TransientAnswer as error:
            _log.warning("peer unavailable", extra={"peer": self._name, "status": error.answer.status_code})
            raise PeerUnavailableError from error
        if answer.status_code >= 500:
            _log.error("peer failed", extra={"peer": self._name, "status": answer.status_code})
            raise PeerUnavailableError
        return answer

    @contextmanager
    def _traced(
        self, method: str, url: str, headers: Mapping[str, str]
    ) -> Iterator[tuple[tracing.Span | None, Mapping[str, str]]]:
        """A span of one try, and the headers that name it to the peer."""
        attributes = {"http.request.method": method, "url.full": url, "server.address": self._name}
        with tracing.sent(tracing.Kind.CLIENT, method, headers.get("traceparent"), attributes) as span:
            yield span, headers if span is None else {**headers, "traceparent": span.traceparent}
