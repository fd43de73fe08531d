"""Entity tags against RFC 9110."""

import pytest

from chassis.conditional import content_etag, is_current, require_match, strong_etag
from chassis.errors import PreconditionFailedError, PreconditionRequiredError

TAG = strong_etag("package", 3)


def test_tags_are_strong_and_depend_on_every_part() -> None:
    assert TAG.startswith('"')
    assert TAG.endswith('"')
    assert strong_etag("a", "bc") != strong_etag("ab", "c")
    assert content_etag(b"1") != content_etag(b"2")


@pytest.mark.parametrize("header", [TAG, f'"other", {TAG}', f"W/{TAG}", "*"])
def test_a_known_tag_is_current(header: str) -> None:
    assert is_current(header, TAG)


@pytest.mark.parametrize("header", [None, '"other"', "", "nonsense"])
def test_any_other_tag_is_not(header: str | None) -> None:
    assert not is_current(header, TAG)


@pytest.mark.parametrize("header", [TAG, f'"other", {TAG}', "*"])
def test_a_change_passes_with_the_current_tag(header: str) -> None:
    require_match(header, TAG)


@pytest.mark.parametrize("header", ['"other"', f"W/{TAG}", "", "nonsense"])
def test_a_change_is_refused_with_a_stale_or_weak_tag(header: str) -> None:
    with pytest.raises(PreconditionFailedError):
        require_match(header, TAG)


def test_a_change_without_a_tag_asks_for_one() -> None:
    with pytest.raises(PreconditionRequiredError):
        require_match(None, TAG)
