"""Idempotency keys for POSTs that create: the first answer is stored in the transaction of its effect."""

import hashlib
import hmac
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import orjson
from fastapi import Request, Response
from sqlalchemy import Column, MetaData, Select, SmallInteger, String, Table, delete, func, insert, select, text, update
from sqlalchemy.dialects.mysql import BINARY, MEDIUMBLOB
from sqlalchemy.exc import IntegrityError, OperationalError
from sqlalchemy.ext.asyncio import AsyncSession

from chassis.errors import (
    FieldError,
    IdempotencyInFlightError,
    IdempotencyKeyReusedError,
    InvalidRequestError,
)
from chassis.sql import TABLE_OPTIONS, UtcDateTime, error_number

KEPT_FOR = timedelta(hours=24)
_KEY = re.compile(r"[\x21-\x7e]{1,255}")
_LOCK_WAIT_TIMEOUT = 1205


@dataclass(frozen=True, slots=True)
class IdempotentRequest:
    """A request that may be a repetition.

    `slot` identifies (caller, key); `fingerprint` is a keyed hash of method, path and body, so that a stored
    fingerprint does not help anybody to guess a body that held a password.
    """

    slot: bytes
    fingerprint: bytes


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a creation: what is stored and, on a repetition, sent again."""

    status: int
    headers: Mapping[str, str]
    body: bytes
    replayed: bool = False

    def to_response(self) -> Response:
        headers = {"content-type": "application/json", **self.headers}
        if self.replayed:
            headers["Idempotency-Replayed"] = "true"
        return Response(self.body, self.status, headers=headers)


async def idempotent_request(request: Request, caller: str, secret: bytes) -> IdempotentRequest | None:
    """What the `Idempotency-Key` of `request` says; None without one.

    `caller` is the user's id, or a constant for requests without a token. Raises `InvalidRequestError` for a
    key that is not 1 to 255 visible ASCII characters or is sent twice.
    """
    keys = request.headers.getlist("idempotency-key")
    if not keys:
        return None
    if len(keys) > 1 or not _KEY.fullmatch(keys[0]):
        raise InvalidRequestError(
            errors=[FieldError("Idempotency-Key", "must be given once, as 1 to 255 visible ASCII characters")]
        )
    slot = hashlib.sha256(f"{caller}\0{keys[0]}".encode()).digest()
    content = b"\0".join([request.method.encode(), request.url.path.encode(), await request.body()])
    return IdempotentRequest(slot, hmac.digest(secret, content, "sha256"))


def idempotency_table(metadata: MetaData) -> Table:
    """The table of stored answers, to be part of a service's metadata and migrations."""
    return Table(
        "idempotency_keys",
        metadata,
        Column("slot", BINARY(32), primary_key=True),
        Column("fingerprint", BINARY(32), nullable=False),
        Column("status", SmallInteger, nullable=False),
        Column("headers", String(2000), nullable=False),
        Column("body", MEDIUMBLOB, nullable=False),
        Column("created_at", UtcDateTime, nullable=False, server_default=text("CURRENT_TIMESTAMP(6)"), index=True),
        **TABLE_OPTIONS,
    )


class IdempotencyKeys:
    """Stores first answers in `table`."""

    def __init__(self, table: Table) -> None:
        self._table = table

    async def once(
        self, session: AsyncSession, request: IdempotentRequest | None, effect: Callable[[], Awaitable[Answer]]
    ) -> Answer:
        """Run `effect` and store its answer, or give the stored answer of an earlier run.

        Everything happens in the session's transaction: the row is inserted first, so that a second request
        with the same key waits for the first to commit or roll back. Raises `IdempotencyKeyReusedError`, and
        `IdempotencyInFlightError` when the first is still running after the lock wait.
        """
        if request is None:
            return await effect()
        await self._drop_expired(session, request)
        try:
            async with session.begin_nested():
                await session.execute(
                    insert(self._table).values(
                        slot=request.slot, fingerprint=request.fingerprint, status=0, headers="{}", body=b""
                    )
                )
        except IntegrityError:
            return await self._stored(session, request)
        except OperationalError as error:
            if error_number(error) == _LOCK_WAIT_TIMEOUT:
                raise IdempotencyInFlightError(headers={"Retry-After": "1"}) from error
            raise
        answer = await effect()
        await session.execute(
            update(self._table)
            .where(self._table.c.slot == request.slot)
            .values(status=answer.status, headers=orjson.dumps(dict(answer.headers)).decode(), body=answer.body)
        )
        return answer

    async def _drop_expired(self, session: AsyncSession, request: IdempotentRequest) -> None:
        # A plain read first: deleting a row that is not there would take a gap lock on busy tables.
        row = (await session.execute(self._select_expired(request))).first()
        if row is not None:
            await session.execute(delete(self._table).where(self._table.c.slot == request.slot))

    def _select_expired(self, request: IdempotentRequest) -> Select[Any]:
        oldest = func.utc_timestamp(6) - text(f"INTERVAL {int(KEPT_FOR.total_seconds())} SECOND")
        return select(self._table.c.slot).where(self._table.c.slot == request.slot, self._table.c.created_at < oldest)

    async def _stored(self, session: AsyncSession, request: IdempotentRequest) -> Answer:
        row = (await session.execute(select(self._table).where(self._table.c.slot == request.slot))).one_or_none()
        if row is None or row.status == 0:
            raise IdempotencyInFlightError(headers={"Retry-After": "1"})
        if not hmac.compare_digest(row.fingerprint, request.fingerprint):
            raise IdempotencyKeyReusedError(
                errors=[FieldError("Idempotency-Key", "was used with another method, path or body")]
            )
        return Answer(row.status, orjson.loads(row.headers), row.body, replayed=True)

    async def forget(self, session: AsyncSession, location: str, created_at: datetime) -> None:
        """Delete the stored answer about the creation of `location` at `created_at`, before its time is over.

        For erasing a person: the answer shows what was created. Rows far from that moment are not looked at.
        """
        around = timedelta(minutes=5)
        nearby = select(self._table.c.slot, self._table.c.headers).where(
            self._table.c.created_at.between(created_at - around, created_at + around)
        )
        for row in await session.execute(nearby):
            if orjson.loads(row.headers).get("location") == location:
                # By its key: a deletion by time would wait for the locks of requests under way.
                await session.execute(delete(self._table).where(self._table.c.slot == row.slot))

    async def sweep(self, session: AsyncSession, limit: int = 1000) -> int:
        """Delete up to `limit` answers older than a day; how many were deleted."""
        statement = text(
            f"DELETE FROM {self._table.name} WHERE created_at < UTC_TIMESTAMP(6) - INTERVAL :age SECOND "  # noqa: S608
            "ORDER BY created_at LIMIT :most"
        )
        result = await session.execute(statement, {"age": int(KEPT_FOR.total_seconds()), "most": limit})
        return int(result.rowcount)  # type: ignore[attr-defined]
