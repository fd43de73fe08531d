"""What must hold after any fault, in the manner of Jepsen's total-queue checker.

committed: events whose change is in the database. delivered: events that reached a handler. applied: revisions in a
projection's history, which is written in the same atomic update as the projection itself.
"""

from __future__ import annotations

import time
import uuid
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from pymongo import MongoClient
from sqlalchemy import Engine, select

from lab import shop


@dataclass
class Verdict:
    """The figures of one run."""

    committed: int
    delivered: int
    lost: set[uuid.UUID]
    unexpected: set[uuid.UUID]
    duplicates: int
    applied_twice: int
    went_back: list[str]
    differences: list[str]
    waiting: int
    settled_after: float = 0.0
    notes: dict[str, Any] = field(default_factory=dict)

    @property
    def is_settled(self) -> bool:
        """Whether everything that was committed has had its effect."""
        return not (self.lost or self.differences or self.waiting)

    def assert_good(self) -> None:
        """Nothing lost, nothing invented, nothing twice, never backwards, projection equal to the truth."""
        assert not self.lost, f"{len(self.lost)} of {self.committed} committed events were lost"
        assert not self.unexpected, f"{len(self.unexpected)} events came that nobody committed"
        assert not self.applied_twice, f"{self.applied_twice} revisions were applied twice"
        assert not self.went_back, f"projections went back: {self.went_back[:3]}"
        assert not self.differences, f"projections differ from the truth: {self.differences[:3]}"
        assert not self.waiting, f"{self.waiting} events still wait in the outbox"


def judge(engine: Engine, mongo: MongoClient[dict[str, Any]], database: str, *, dropped: bool = False) -> Verdict:
    """Compare what the shop committed with what the till has. With `dropped`, a delivery may be missing."""
    with engine.connect() as connection:
        committed = {row.event_id: row for row in connection.execute(select(shop.ledger))}
        truth = {f"order/{row.id}": row for row in connection.execute(select(shop.orders))}
        events = shop.outbox.events
        waiting = len(connection.execute(select(events.c.id).where(events.c.type == shop.CHANGED)).all())
    delivered = Counter(row["event"] for row in mongo[database]["deliveries"].find({}, {"event": 1}))
    projections = {row["_id"]: row for row in mongo[database]["orders"].find()}
    histories = {key: row["history"] for key, row in projections.items()}
    differences = [
        f"{key}: {projections.get(key)} is not revision {row.revision}, amount {row.amount}"
        for key, row in truth.items()
        if key not in projections
        or (projections[key]["revision"], projections[key]["amount"]) != (row.revision, row.amount)
    ]
    return Verdict(
        committed=len(committed),
        delivered=sum(delivered.values()),
        lost=set() if dropped else set(committed) - set(delivered),
        unexpected=set(delivered) - set(committed),
        duplicates=sum(count - 1 for count in delivered.values()),
        applied_twice=sum(len(history) - len(set(history)) for history in histories.values()),
        went_back=[key for key, history in histories.items() if history != sorted(history)],
        differences=differences + [f"{key}: unknown" for key in projections if key not in truth],
        waiting=waiting,
    )


def settle(look: Callable[[], Verdict], seconds: float) -> Verdict:
    """Look until everything has arrived or the time is over."""
    began = time.monotonic()
    while True:
        verdict = look()
        verdict.settled_after = round(time.monotonic() - began, 2)
        if verdict.is_settled or verdict.settled_after > seconds:
            return verdict
        time.sleep(0.2)
