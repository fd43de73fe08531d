"""Load figures of one identity API process, and the comparison of answer times that must tell nothing.

Starts a process of its own on a database of its own (`STACK_MYSQL_URL` names the server):

    python -m bench.identity            # everything, about ten minutes
    python -m bench.identity timing     # one of: timing, logins, storm, refreshes, memory
"""

# ruff: noqa: T201 - a program of its own, run as a file, that reports to the person who runs it

import asyncio
import os
import secrets
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from chassis.deadlines import stop
from chassis.migrations import upgrade
from chassis.testing.servers import mysql_database
from identity.migrations import MIGRATIONS

Send = Callable[[], Awaitable[httpx.Response]]

PORT = 18191
PASSWORD = "a bicycle for two fish"  # noqa: S105 - protects nothing
WRONG = "a tandem for two fish"
STORM = 60


@contextmanager
def running_api(**changes: str) -> Iterator[int]:
    """A migrated database and one API process; gives its process id."""
    with mysql_database("load") as url:
        upgrade(MIGRATIONS, url)
        environment = {
            **os.environ,
            "IDENTITY_DATABASE_URL": url,
            "IDENTITY_BROKER_URL": "amqp://nobody@127.0.0.1:1/",
            "IDENTITY_PORT": str(PORT),
            "IDENTITY_INTERNAL_TOKEN": secrets.token_hex(32),
            "IDENTITY_PASSWORD_PEPPER": secrets.token_hex(32),
            "IDENTITY_KEY_ENCRYPTION_KEY": secrets.token_hex(32),
            "IDENTITY_LOGIN_FAILURES_PER_ADDRESS_PER_10_MINUTES": "1000000",
            "IDENTITY_LOGIN_ACCOUNTS_PER_ADDRESS_PER_10_MINUTES": "1000000",
            "IDENTITY_LOGIN_FREE_FAILURES": "1000000",
            "IDENTITY_LOGIN_ACCOUNT_FAILURES_PER_DAY": "1000000",
            "IDENTITY_FORGOT_PER_ADDRESS_PER_HOUR": "1000000",
            "IDENTITY_FORGOT_PER_EMAIL_PER_HOUR": "1000000",
            "IDENTITY_REFRESHES_PER_SESSION_PER_MINUTE": "1000000",
            **changes,
        }
        process = subprocess.Popen(
            [sys.executable, "-m", "identity", "api"], env=environment, stdout=subprocess.DEVNULL
        )
        try:
            wait_until_ready()
            yield process.pid
        finally:
            process.terminate()
            process.wait()


def wait_until_ready() -> None:
    for _ in range(200):
        try:
            if httpx.get(f"http://127.0.0.1:{PORT}/readyz", trust_env=False).status_code == 200:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    raise SystemExit("the API does not become ready")


def client() -> httpx.AsyncClient:
    return httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{PORT}", timeout=60, trust_env=False, limits=httpx.Limits(max_connections=64)
    )


async def register(api: httpx.AsyncClient, number: int) -> str:
    email = f"user{number}@example.com"
    answer = await api.post("/v1/users", json={"email": email, "password": PASSWORD, "name": f"User {number}"})
    answer.raise_for_status()
    return email


def processor_seconds(pid: int) -> float:
    fields = (Path("/proc") / str(pid) / "stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident_megabytes(pid: int) -> float:
    status = (Path("/proc") / str(pid) / "status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


async def timed(request: Send) -> float:
    begin = time.perf_counter()
    await request()
    return (time.perf_counter() - begin) * 1000


async def compare(
    name: str,
    known: Send,
    unknown: Send,
    samples: int,
) -> None:
    """Medians over interleaved samples: whatever else the machine does meets both alike."""
    times: tuple[list[float], list[float]] = ([], [])
    for turn in range(samples):
        order = ((0, known), (1, unknown)) if turn % 2 else ((1, unknown), (0, known))
        for index, request in order:
            times[index].append(await timed(request))
    first, second = (statistics.median(each) for each in times)
    difference = abs(first - second) / min(first, second) * 100
    verdict = "ok" if difference < 5 else "TOO FAR APART"
    print(
        f"{name}: known {first:.2f} ms, unknown {second:.2f} ms, {difference:.1f} % apart ({samples} pairs): {verdict}"
    )


async def timing() -> None:
    with running_api():
        async with client() as api:
            known, unknown = await register(api, 0), "nobody@example.com"

            def login(email: str) -> Send:
                return lambda: api.post("/v1/auth/login", json={"email": email, "password": WRONG})

            def forgot(email: str) -> Send:
                return lambda: api.post("/v1/auth/password/forgot", json={"email": email})

            await compare("login", login(known), login(unknown), 100)
            await compare("forgot", forgot(known), forgot(unknown), 400)


async def logins() -> None:
    for cost in ("12", "4"):
        with running_api(IDENTITY_BCRYPT_COST=cost) as pid:
            await count_logins(pid, cost)


async def count_logins(pid: int, cost: str) -> None:
    async with client() as api:
        emails = [await register(api, number) for number in range(8)]
        end, count = time.perf_counter() + 15, 0
        began, busy = time.perf_counter(), processor_seconds(pid)

        async def use(email: str) -> None:
            nonlocal count
            while time.perf_counter() < end:
                answer = await api.post("/v1/auth/login", json={"email": email, "password": PASSWORD})
                answer.raise_for_status()
                count += 1

        await asyncio.gather(*(use(email) for email in emails))
        wall, spent = time.perf_counter() - began, processor_seconds(pid) - busy
        print(
            f"logins, bcrypt cost {cost}: {count / wall:.1f}/s, {count / spent:.1f} per processor-second, "
            f"{spent / count * 1000:.1f} ms of processor each"
        )


async def storm() -> None:
    """Times of somebody else's requests, without and beside more logins than there is a processor for."""
    with running_api():
        async with client() as api, client() as crowd:
            emails = [await register(api, number) for number in range(STORM)]
            pair = (await api.post("/v1/auth/login", json={"email": emails[0], "password": PASSWORD})).json()
            headers = {"Authorization": f"Bearer {pair['accessToken']}"}

            async def others(seconds: float) -> list[float]:
                times: list[float] = []
                end = time.perf_counter() + seconds
                while time.perf_counter() < end:
                    begin = time.perf_counter()
                    (await api.get("/v1/users/me", headers=headers)).raise_for_status()
                    times.append((time.perf_counter() - begin) * 1000)
                    await asyncio.sleep(0.01)
                return times

            answers = Counter[int]()

            async def insist(email: str) -> None:
                while True:
                    answer = await crowd.post("/v1/auth/login", json={"email": email, "password": PASSWORD})
                    answers[answer.status_code] += 1
                    # As the answer asks for, where there was no room.
                    await asyncio.sleep(float(answer.headers.get("retry-after", 0)))

            alone = await others(10)
            insisting = [asyncio.create_task(insist(email)) for email in emails]
            beside = await others(20)
            await stop(*insisting)
            for name, times in (("alone", alone), (f"beside {STORM} who log in", beside)):
                slow = statistics.quantiles(times, n=100)[98]
                print(
                    f"others {name}: p50 {statistics.median(times):.1f} ms, p99 {slow:.1f} ms ({len(times)} requests)"
                )
            print(f"the logins: {answers[200]} let in, {answers[503]} asked to come again")


async def refreshes() -> None:
    with running_api(IDENTITY_BCRYPT_COST="4") as pid:
        async with client() as api:
            emails = [await register(api, number) for number in range(16)]
            end, count, waits = time.perf_counter() + 15, 0, []
            began, busy = time.perf_counter(), processor_seconds(pid)

            async def use(email: str) -> None:
                nonlocal count
                pair = (await api.post("/v1/auth/login", json={"email": email, "password": PASSWORD})).json()
                while time.perf_counter() < end:
                    begin = time.perf_counter()
                    answer = await api.post("/v1/auth/refresh", json={"refreshToken": pair["refreshToken"]})
                    waits.append((time.perf_counter() - begin) * 1000)
                    answer.raise_for_status()
                    pair = answer.json()
                    count += 1

            await asyncio.gather(*(use(email) for email in emails))
            wall, spent = time.perf_counter() - began, processor_seconds(pid) - busy
            slow = statistics.quantiles(waits, n=100)[98]
            print(
                f"refreshes: {count / wall:.0f}/s over 16 sessions, p50 {statistics.median(waits):.0f} ms, "
                f"p99 {slow:.0f} ms, {spent / count * 1000:.1f} ms of processor each"
            )


async def memory() -> None:
    with running_api(IDENTITY_BCRYPT_COST="4") as pid:
        async with client() as api:
            emails = [await register(api, number) for number in range(32)]
            before = resident_megabytes(pid)

            async def use(email: str) -> None:
                for _ in range(10_000 // len(emails) + 1):
                    answer = await api.post("/v1/auth/login", json={"email": email, "password": PASSWORD})
                    answer.raise_for_status()

            await asyncio.gather(*(use(email) for email in emails))
            print(f"memory: {before:.0f} MB before, {resident_megabytes(pid):.0f} MB after 10,000 logins")


async def main() -> None:
    parts = {"timing": timing, "logins": logins, "storm": storm, "refreshes": refreshes, "memory": memory}
    for name in sys.argv[1:] or parts:
        await parts[name]()


if __name__ == "__main__":
    asyncio.run(main())
