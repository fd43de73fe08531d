"""A process that is killed in the middle of a transaction does not lock its user, or anybody else, for long."""

import asyncio
import os
import signal
import sys
from datetime import timedelta
from typing import Any

from chassis.clock import utc_now
from chassis.ids import new_id
from chassis.mongo import Mongo
from watch.factory import Factory
from watch.storage.session_leases import LEASE, SessionLeases

# Begins the transaction of a first marking, says so, and then waits to be killed.
_VICTIM = """
import asyncio, sys, uuid
from chassis.clock import utc_now
from chassis.mongo import Mongo
from watch.storage.directory import Directory
from watch.storage.session_leases import SessionLeases
from watch.storage.transactions import Transactions
from watch.storage.users import UserRepository

async def main(url, user_id):
    mongo = Mongo(url)
    transactions = Transactions(mongo, SessionLeases(mongo, utc_now))
    users = UserRepository(mongo.database, Directory(mongo.database, transactions))
    await users.ensure(user_id)
    async def work(session):
        await users.count_in(user_id, session)
        print("in the middle", flush=True)
        await asyncio.sleep(60)
    await transactions.run(work)

asyncio.run(main(sys.argv[1], uuid.UUID(sys.argv[2])))
"""


async def test_what_a_killed_process_held_is_free_again_and_its_change_undone(
    factory: Factory, database_url: str, mongo: Mongo, catalog: Any, person: Any
) -> None:
    locked, other = person(), person()
    victim = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _VICTIM, database_url, str(locked.id), stdout=asyncio.subprocess.PIPE, env=os.environ
    )
    assert victim.stdout is not None
    assert await victim.stdout.readline() == b"in the middle\n"
    victim.send_signal(signal.SIGKILL)
    await victim.wait()
    leases = SessionLeases(mongo, utc_now)
    assert await leases.end_expired() == 0
    later = SessionLeases(mongo, lambda: utc_now() + LEASE + timedelta(seconds=1))
    assert await later.end_expired() >= 1
    catalog.add(603)
    for one in (locked, other):
        assert (await one.mark(603)).status_code == 201
    assert (await mongo.database["users"].find_one({"_id": locked.id}))["films"] == 1  # type: ignore[index]
    assert await later.end_expired() >= 1


async def test_a_session_that_is_ended_by_mistake_repeats_its_transaction(factory: Factory, mongo: Mongo) -> None:
    user_id = new_id()
    await factory._users.ensure(user_id)
    later = SessionLeases(mongo, lambda: utc_now() + LEASE + timedelta(seconds=1))
    runs = 0

    async def work(session: Any) -> None:
        nonlocal runs
        runs += 1
        await factory._users.count_in(user_id, session)
        if runs == 1:
            await later.end_expired()

    await factory._transactions.run(work)
    assert runs == 2
    assert (await mongo.database["users"].find_one({"_id": user_id}))["films"] == 1  # type: ignore[index]


async def test_a_session_is_put_on_record_once_in_a_while_only(mongo: Mongo) -> None:
    now = utc_now()
    leases = SessionLeases(mongo, lambda: now)
    async with mongo.client.start_session() as session:
        for _ in range(3):
            await leases.renew(session)
            now += timedelta(seconds=1)
        held = await mongo.database["sessionLeases"].find_one({"_id": session.session_id["id"].as_uuid()})
        assert held is not None
        assert abs(held["until"] - (now - timedelta(seconds=3) + LEASE)) < timedelta(seconds=0.01)
        now += timedelta(seconds=1)
        await leases.renew(session)
        held = await mongo.database["sessionLeases"].find_one({"_id": session.session_id["id"].as_uuid()})
        assert held is not None
        assert abs(held["until"] - (now + LEASE)) < timedelta(seconds=0.01)
