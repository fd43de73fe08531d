"""What a report is compiled from, computed from the histories themselves."""

import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence

from chassis.mongo import Document, MongoDatabase, translate_outage
from watch.domain.history import Period
from watch.domain.reports import Film, Tally
from watch.storage.history import period_condition

# Films are grouped by their whole set of genres: one row for some hundred combinations at most, where
# unwinding the genres first would take three times as many documents through the pipeline.
_BY_USER_AND_GENRES: Document = {
    "_id": {"userId": "$userId", "genreIds": "$genreIds"},
    "films": {"$sum": 1},
    "last": {
        "$top": {
            "sortBy": {"watchedAt": -1, "createdAt": -1, "movieId": -1},
            "output": {
                "movieId": "$movieId",
                "title": "$title",
                "watchedAt": "$watchedAt",
                "createdAt": "$createdAt",
            },
        }
    },
}


class ReportRepository:
    def __init__(self, database: MongoDatabase) -> None:
        self._watched = database["watched"]

    async def tallies(self, user_ids: Sequence[uuid.UUID], period: Period) -> Mapping[uuid.UUID, Sequence[Tally]]:
        """The tallies of each of `user_ids` over the films watched in `period`, in one aggregation."""
        who = user_ids[0] if len(user_ids) == 1 else {"$in": list(user_ids)}
        pipeline = [{"$match": {"userId": who, **period_condition(period)}}, {"$group": _BY_USER_AND_GENRES}]
        found: dict[uuid.UUID, list[Tally]] = defaultdict(list)
        async with translate_outage():
            cursor = await self._watched.aggregate(pipeline)
            async for row in cursor:
                found[row["_id"]["userId"]].append(_tally(row))
        return found


def _tally(row: Document) -> Tally:
    last = row["last"]
    film = Film(last["movieId"], last["title"], last["watchedAt"], last["createdAt"])
    return Tally(tuple(row["_id"]["genreIds"]), row["films"], film)
