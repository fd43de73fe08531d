"""What a process has counted for filtered lists, good until a package changes."""

from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable

Counts = tuple[int, int]
"""How many packages match by the beginning of their name, and how many match otherwise."""

# A text and the ids of some genres take a kilobyte at the very most.
_REMEMBERED = 2000


class SearchCounts:
    """The counts of the searches that were asked for last, each with the revision of the packages it belongs to.

    Every request reads the revision anew, so a replica sees a change of another by the next request.
    """

    def __init__(self, limit: int = _REMEMBERED) -> None:
        self._limit = limit
        self._known: OrderedDict[Hashable, tuple[int, Counts]] = OrderedDict()

    async def get(self, search: Hashable, revision: int, count: Callable[[], Awaitable[Counts]]) -> Counts:
        """The counts of `search` at `revision`, which `count` finds out unless they are known.

        The revision is read before it is counted: what changes in between makes a newer one, and whoever reads that
        counts again.
        """
        known = self._known.get(search)
        if known is not None and known[0] == revision:
            self._known.move_to_end(search)
            return known[1]
        counts = await count()
        self._known[search] = (revision, counts)
        self._known.move_to_end(search)
        while len(self._known) > self._limit:
            self._known.popitem(last=False)
        return counts
