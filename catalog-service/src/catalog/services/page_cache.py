"""Answers kept as bytes: bounded by what they weigh, and worth nothing once the catalog has changed."""

from collections import OrderedDict
from collections.abc import Hashable
from dataclasses import dataclass

# What an entry costs besides its body: key, headers, bookkeeping.
_OVERHEAD_BYTES = 1500


@dataclass(frozen=True, slots=True)
class CachedPage:
    """A page of movies ready to be sent: all its headers are there, as ASGI wants them."""

    body: bytes
    etag: str
    headers: tuple[tuple[bytes, bytes], ...]


class PageCache:
    """Pages of one revision of the catalog, least recently used ones leaving first.

    A key is what the page depends on: the entitled genres and the query. Never a user.
    """

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._pages: OrderedDict[Hashable, CachedPage] = OrderedDict()
        self._bytes = 0
        self._revision: object = None

    def get(self, revision: object, key: Hashable) -> CachedPage | None:
        if revision != self._revision:
            return None
        page = self._pages.get(key)
        if page is not None:
            self._pages.move_to_end(key)
        return page

    def put(self, revision: object, key: Hashable, page: CachedPage) -> None:
        """Keep a page that was made at `revision` or later."""
        if revision != self._revision:
            self._pages.clear()
            self._bytes = 0
            self._revision = revision
        weight = self._weight(page)
        if weight > self._max_bytes:
            return
        if (replaced := self._pages.pop(key, None)) is not None:
            self._bytes -= self._weight(replaced)
        self._pages[key] = page
        self._bytes += weight
        while self._bytes > self._max_bytes:
            _, dropped = self._pages.popitem(last=False)
            self._bytes -= self._weight(dropped)

    @staticmethod
    def _weight(page: CachedPage) -> int:
        return len(page.body) + _OVERHEAD_BYTES
