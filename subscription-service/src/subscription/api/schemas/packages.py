"""Packages on the wire."""

import unicodedata
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

from chassis.fields import Id, Line, RequestModel, ResponseModel, Timestamp
from subscription.domain.genres import Genre, GenreStatus
from subscription.domain.packages import (
    UNCHANGED,
    EditPreview,
    Package,
    PackageDraft,
    PackageEdit,
    PackageStatus,
    PackageVersion,
)


def composed(value: str) -> str:
    """`value` in NFC, stored and looked for alike, because LIKE compares character by character."""
    return unicodedata.normalize("NFC", value)


def not_blank(value: str) -> str:
    """`value` as a filter: blanks alone would list everything, as if there were none."""
    if not value.strip():
        raise ValueError("must not be blank")
    return value


def _visible_name(value: str) -> str:
    name = composed(value).strip()
    if not any(unicodedata.category(character)[0] in "LNPS" for character in name):
        raise ValueError("must have at least 1 visible character")
    if len(name) > 100:
        raise ValueError("must have at most 100 characters")
    return name


def _plain_text(value: str) -> str:
    if any((ord(c) < 32 and c not in "\n\r\t") or ord(c) == 127 for c in value):
        raise ValueError("must not contain control characters but line ends and tabs")
    return value


def _not_null(value: Any) -> Any:
    if value is None:
        raise ValueError("must not be null; leave it out to keep what there is")
    return value


PackageName = Annotated[
    Line, StringConstraints(min_length=1, max_length=400), AfterValidator(_visible_name), Field(examples=["Family"])
]
"""1 to 100 characters once outer spaces are removed and the text is in NFC."""

Description = Annotated[
    str,
    StringConstraints(strict=True, max_length=2000),
    AfterValidator(_plain_text),
    Field(examples=["Films for the whole family"]),
]

# Strict: a genre id in a body is a JSON number, never a text.
GenreId = Annotated[int, Field(ge=1, le=2**31 - 1, examples=[28])]
GenreIds = Annotated[list[GenreId], Field(min_length=1, max_length=100, description="At least one, no repeats.")]


class GenreRead(ResponseModel):
    """A genre as part of something else."""

    id: int = Field(examples=[28])
    name: str = Field(examples=["Action"])


class PackageGenreRead(GenreRead):
    """A genre of a package; `retired` when its source no longer lists it."""

    status: GenreStatus = Field(examples=["active"])


class PackageCreate(RequestModel):
    """A new package."""

    name: PackageName
    description: Description | None = None
    genre_ids: GenreIds

    def to_draft(self) -> PackageDraft:
        return PackageDraft(self.name, self.description, tuple(self.genre_ids))


class PackageUpdate(RequestModel):
    """An edit; what is left out stays as it is."""

    name: Annotated[PackageName | None, BeforeValidator(_not_null, json_schema_input_type=PackageName)] = None
    description: Description | None = Field(default=None, description="null removes it.")
    genre_ids: Annotated[GenreIds | None, BeforeValidator(_not_null, json_schema_input_type=GenreIds)] = None
    apply_to_subscribers: bool = Field(
        default=False, description="Whether existing subscriptions move to the newest version too."
    )

    def to_edit(self) -> PackageEdit:
        return PackageEdit(
            name=UNCHANGED if self.name is None else self.name,
            description=self.description if "description" in self.model_fields_set else UNCHANGED,
            genre_ids=UNCHANGED if self.genre_ids is None else tuple(self.genre_ids),
            apply_to_subscribers=self.apply_to_subscribers,
        )


class PackageRead(ResponseModel):
    """A package as its newest version describes it."""

    id: Id
    name: str = Field(examples=["Family"])
    description: str | None = Field(examples=["Films for the whole family"])
    genres: list[PackageGenreRead]
    status: PackageStatus = Field(examples=["active"])
    created_at: Timestamp
    updated_at: Timestamp
    version: int = Field(ge=1, examples=[1])

    @classmethod
    def of(cls, package: Package) -> "PackageRead":
        return cls.model_validate(package)


class PackageVersionRead(ResponseModel):
    """An immutable version of a package."""

    package_id: Id
    version: int = Field(ge=1, examples=[1])
    name: str = Field(examples=["Family"])
    description: str | None = Field(examples=["Films for the whole family"])
    genres: list[GenreRead]
    created_at: Timestamp
    created_by: Id

    @classmethod
    def of(cls, version: PackageVersion) -> "PackageVersionRead":
        return cls.model_validate(version)


class EditPreviewRead(ResponseModel):
    """What an edit would do."""

    version: int = Field(ge=1, examples=[2], description="The version that the package would have.")
    genres_added: list[GenreRead]
    genres_removed: list[GenreRead]
    subscribers_moved: int = Field(ge=0, examples=[120])
    subscribers_kept: int = Field(ge=0, examples=[0], description="Active subscribers whose version would stay.")

    @classmethod
    def of(cls, preview: EditPreview) -> "EditPreviewRead":
        return cls.model_validate(preview)


def genre_reads(genres: tuple[Genre, ...]) -> list[GenreRead]:
    """Genres as id and name."""
    return [GenreRead.model_validate(genre) for genre in genres]
