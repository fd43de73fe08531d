"""Values that several bodies have."""

import unicodedata
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints

from chassis.fields import Line
from identity.domain.emails import MAX_EMAIL_CHARACTERS, canonical_email
from identity.domain.passwords import MAX_INPUT_CHARACTERS


def _normal_name(value: str) -> str:
    name = unicodedata.normalize("NFC", value).strip()
    if not name:
        raise ValueError("must not be blank")
    return name


def _not_null(value: Any) -> Any:
    if value is None:
        raise ValueError("must not be null; leave it out to keep the present value")
    return value


Email = Annotated[
    str,
    StringConstraints(strict=True, max_length=MAX_EMAIL_CHARACTERS),
    AfterValidator(canonical_email),
    Field(json_schema_extra={"format": "email"}, examples=["ann@example.com"]),
]
"""An e-mail address, taken in its canonical form (lower case)."""

Name = Annotated[Line, Field(min_length=1, max_length=100, examples=["Ann"]), AfterValidator(_normal_name)]
"""What a person is called."""

Password = Annotated[
    str,
    StringConstraints(strict=True, min_length=1, max_length=MAX_INPUT_CHARACTERS),
    Field(json_schema_extra={"format": "password"}, examples=["a bicycle for two fish"]),
]
"""A password to be compared with the present one."""

NewPassword = Annotated[
    str,
    StringConstraints(strict=True, max_length=MAX_INPUT_CHARACTERS),
    Field(
        json_schema_extra={"format": "password"},
        description="12 to 128 characters, any characters; no common password, not the e-mail address or the name.",
        examples=["a bicycle for two fish"],
    ),
]
"""A password to be set; `PasswordPolicy` decides."""


def not_null(kind: Any) -> BeforeValidator:
    """For members that may be missing but not null; the document shows them as `kind`."""
    return BeforeValidator(_not_null, json_schema_input_type=kind)
