"""Random lives of several users, told through the API and through events, against a naive model of the contract."""

import itertools
import uuid
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from hypothesis import given, settings
from hypothesis import strategies as st

from chassis.clock import to_rfc3339
from chassis.ids import new_id
from chassis.testing.http import running
from chassis.testing.tokens import TokenIssuer
from watch.config import Settings
from watch.domain.history import Genre
from watch.factory import Factory
from watch.main import create_app

START = datetime(2024, 1, 1, tzinfo=UTC)
TIMES = [START - timedelta(days=n) for n in range(4)]
USERS, MOVIES, GENRES = 3, 7, 4

operations = st.one_of(
    st.tuples(st.just("mark"), st.integers(0, USERS - 1), st.integers(1, MOVIES), st.none() | st.sampled_from(TIMES)),
    st.tuples(st.just("unmark"), st.integers(0, USERS - 1), st.integers(1, MOVIES)),
    st.tuples(st.just("rename"), st.integers(0, GENRES - 1), st.integers(1, 4)),
    st.tuples(st.just("delete"), st.integers(0, USERS - 1)),
    st.tuples(st.just("tick")),
)
bounds = st.none() | st.sampled_from([*TIMES, START])
genre_sets = st.lists(st.frozensets(st.integers(0, GENRES - 1), max_size=3), min_size=MOVIES, max_size=MOVIES)

# Genres are shared by all users, so every example has ids of its own.
fresh_genres = itertools.count(1000, GENRES)


@dataclass
class Model:
    """What the contract says, in the plainest way."""

    genres_of: dict[int, list[int]]
    names: dict[int, tuple[int, str]] = field(default_factory=dict)
    seen: dict[int, dict[int, tuple[datetime, datetime]]] = field(default_factory=lambda: defaultdict(dict))
    deleted: set[int] = field(default_factory=set)
    now: datetime = START

    def mark(self, user: int, movie: int, watched_at: datetime | None) -> int:
        if user in self.deleted:
            return 403
        known = self.seen[user].get(movie)
        if known is None:
            self.seen[user][movie] = (watched_at or self.now, self.now)
            return 201
        self.seen[user][movie] = (watched_at or known[0], known[1])
        return 200

    def report(self, user: int, user_id: uuid.UUID, start: datetime | None, end: datetime | None) -> dict[str, Any]:
        films = [
            (watched, created, movie)
            for movie, (watched, created) in self.seen[user].items()
            if (start is None or watched >= start) and (end is None or watched < end)
        ]
        themes: dict[int, list[datetime]] = defaultdict(list)
        for watched, _, movie in films:
            for genre in self.genres_of[movie]:
                themes[genre].append(watched)
        ranked = sorted(themes, key=lambda g: (-len(themes[g]), -max(themes[g]).timestamp(), g))
        return {
            "userId": str(user_id),
            "totalFilmsWatched": len(films),
            "mostWatchedTheme": {
                "themeId": ranked[0],
                "themeName": self.names[ranked[0]][1],
                "totalFilmsWatched": len(themes[ranked[0]]),
            }
            if ranked
            else None,
            "lastFilmWatched": {"movieId": max(films)[2], "movieName": f"Film {max(films)[2]}"} if films else None,
        }


@settings(max_examples=50)
@given(
    genres=genre_sets,
    told=st.lists(operations, min_size=1, max_size=30),
    period=st.tuples(bounds, bounds),
)
async def test_reports_equal_a_naive_oracle(  # noqa: PLR0913 - fixtures and what hypothesis draws
    settings: Settings,
    catalog: Any,
    token_issuer: TokenIssuer,
    factory: Factory,
    genres: list[frozenset[int]],
    told: list[tuple[Any, ...]],
    period: tuple[datetime | None, datetime | None],
) -> None:
    base = next(fresh_genres)
    model = Model({movie: sorted(base + g for g in chosen) for movie, chosen in enumerate(genres, start=1)})
    model.names = {base + g: (0, f"Genre {base + g}") for g in range(GENRES)}
    for movie, genre_ids in model.genres_of.items():
        catalog.add(movie, f"Film {movie}", tuple(genre_ids))
    users = [new_id() for _ in range(USERS)]
    admin = token_issuer.bearer(roles=("user", "admin"))
    lifecycle = factory.create_lifecycle_service()
    async with running(create_app(settings, clock=lambda: model.now)) as http:
        for name, *arguments in told:
            match name:
                case "mark":
                    user, movie, watched_at = arguments
                    body = {"watchedAt": to_rfc3339(watched_at)} if watched_at else {}
                    answer = await http.put(f"/v1/watched/{movie}", headers=token_issuer.bearer(users[user]), json=body)
                    assert answer.status_code == model.mark(user, movie, watched_at), answer.text
                case "unmark":
                    user, movie = arguments
                    path = f"/v1/watched/{movie}"
                    answer = await http.delete(path, headers=token_issuer.bearer(users[user]))
                    assert answer.status_code == 204
                    model.seen[user].pop(movie, None)
                case "rename":
                    genre, revision = base + arguments[0], arguments[1]
                    await lifecycle.rename_genre(Genre(genre, f"Name {revision}"), revision)
                    model.names[genre] = max(model.names[genre], (revision, f"Name {revision}"))
                case "delete":
                    user = arguments[0]
                    await lifecycle.erase_user(users[user], 2)
                    model.seen[user].clear()
                    model.deleted.add(user)
                case "tick":
                    model.now += timedelta(seconds=1)
        await _compare(http, model, users, admin, period)


async def _compare(
    http: httpx.AsyncClient,
    model: Model,
    users: list[uuid.UUID],
    admin: dict[str, str],
    period: tuple[datetime | None, datetime | None],
) -> None:
    bounds = {name: to_rfc3339(moment) for name, moment in zip(("from", "to"), period, strict=True) if moment}
    for number, user_id in enumerate(users):
        answer = await http.get(f"/v1/reports/users/{user_id}", headers=admin, params=bounds)
        assert answer.json() == model.report(number, user_id, *period)
    expected = [
        model.report(number, user_id, None, None)
        for user_id, number in sorted(zip(users, range(USERS), strict=True))
        if model.seen[number]
    ]
    listed = await http.get("/v1/reports/users", headers=admin, params={"userIds": ",".join(map(str, users))})
    assert listed.json()["data"] == expected
    everybody = await http.get("/v1/reports/users", headers=admin, params={"pageSize": 100})
    mine = {str(user_id) for user_id in users}
    last = everybody.json()["pagination"]["totalPages"]
    # Ids grow with time, so this example's users are on the last pages.
    found = []
    for number in range(max(1, last - 1), last + 1):
        page = await http.get("/v1/reports/users", headers=admin, params={"pageSize": 100, "pageNumber": number})
        found += [report for report in page.json()["data"] if report["userId"] in mine]
    assert found == expected
