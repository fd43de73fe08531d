"""A clock that differs from the database's is noticed."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chassis.clock import MAX_SKEW, ClockSkewError, require_agreement

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


@given(ahead=st.timedeltas(-timedelta(minutes=5), timedelta(minutes=5)), took=st.timedeltas(timedelta(), timedelta(3)))
async def test_only_a_difference_that_the_way_cannot_explain_is_skew(ahead: timedelta, took: timedelta) -> None:
    readings = iter([NOON, NOON + took])

    async def theirs() -> datetime:
        return NOON + ahead

    if -MAX_SKEW <= ahead <= took + MAX_SKEW:
        await require_agreement(theirs, lambda: next(readings))
    else:
        with pytest.raises(ClockSkewError):
            await require_agreement(theirs, lambda: next(readings))
