"""Asking catalog-service which genres there are."""

from collections.abc import Collection

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from chassis.http import Peer, PeerUnavailableError
from subscription.domain.genres import Genre, GenreStatus

# The catalog's largest page; TMDB lists fewer than twenty genres.
MAX_GENRES = 100


class _GenreItem(BaseModel):
    # Tolerant: the catalog may add members.
    model_config = ConfigDict(extra="ignore", strict=True)

    id: int
    name: str = Field(min_length=1, max_length=200)
    status: str


class _GenrePage(BaseModel):
    data: list[_GenreItem]


class CatalogClient:
    """catalog-service, seen with the caller's own access token."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    async def find_genres(self, ids: Collection[int], token: str) -> list[Genre]:
        """The genres among `ids` (at most `MAX_GENRES`) that the catalog knows, retired ones included.

        Raises `PeerUnavailableError` when it cannot be asked or its answer cannot be read: a package is never
        stored with unchecked genres.
        """
        answer = await self._peer.get(
            "/v1/genres",
            token=token,
            params={"ids": ",".join(str(genre_id) for genre_id in sorted(ids)), "pageSize": MAX_GENRES},
        )
        if answer.status_code != 200:
            raise PeerUnavailableError
        try:
            items = _GenrePage.model_validate_json(answer.content).data
            return [Genre(item.id, item.name, GenreStatus(item.status)) for item in items]
        except (ValidationError, ValueError) as error:
            raise PeerUnavailableError from error
