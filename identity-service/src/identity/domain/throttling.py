"""Rules against guessing: how many logins may be tried, and how long to wait after failures."""

from dataclasses import dataclass
from datetime import datetime, timedelta


@dataclass(frozen=True, slots=True)
class RateLimit:
    """At most `limit` events in a window of `window_seconds`; `name` shows in headers."""

    name: str
    limit: int
    window_seconds: int


@dataclass(frozen=True, slots=True)
class LoginRules:
    """Limits of password guessing for one account from one address.

    `free_failures` cost nothing; each further one doubles the delay from 1 s up to `max_delay_seconds`.
    `guarded_free_failures` replaces `free_failures` for addresses that have not logged in to the account in
    `trusted_for`, while the account is under attack from many addresses.
    """

    free_failures: int
    guarded_free_failures: int
    max_delay_seconds: int
    forget_after: timedelta = timedelta(hours=24)
    trusted_for: timedelta = timedelta(days=30)
    # A process that dies between counting an attempt and its outcome would hold a slot for ever.
    attempt_expires_after: timedelta = timedelta(seconds=30)


@dataclass(frozen=True, slots=True)
class AttemptState:
    """What is stored about one account and one address: failures in a row, and attempts still being verified."""

    failures: int = 0
    pending: int = 0
    last_failure_at: datetime | None = None
    pending_since: datetime | None = None
    succeeded_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Admission:
    """Whether a password may be verified now.

    Not admitted with `retry_after` (seconds): refuse. Not admitted without it: other attempts are being
    verified whose outcome decides, so ask again shortly. `failures` and `pending` are what to go on from.
    """

    admitted: bool
    failures: int
    pending: int
    retry_after: float | None = None


def admit(state: AttemptState, now: datetime, rules: LoginRules, *, under_attack: bool) -> Admission:
    """Decide about one more attempt.

    Attempts under way count as failures until they are known to be none: a hundred parallel guesses get no
    further than the free failures. They wait instead of being refused, so that parallel logins with the right
    password all succeed.
    """
    quiet = state.last_failure_at is None or now - state.last_failure_at >= rules.forget_after
    failures = 0 if quiet else state.failures
    stale = state.pending_since is None or now - state.pending_since >= rules.attempt_expires_after
    pending = 0 if stale else state.pending
    trusted = state.succeeded_at is not None and now - state.succeeded_at < rules.trusted_for
    free = rules.guarded_free_failures if under_attack and not trusted else rules.free_failures
    if failures >= free and state.last_failure_at is not None:
        # The exponent is bounded because 2.0 ** 1100 is no float.
        delay = min(2.0 ** min(failures - free, 30), float(rules.max_delay_seconds))
        left = delay - (now - state.last_failure_at).total_seconds()
        if left > 0:
            return Admission(False, failures, pending, retry_after=left)
    if pending >= max(1, free - failures):
        return Admission(False, failures, pending)
    return Admission(True, failures, pending)
