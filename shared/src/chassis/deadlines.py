"""Giving up waiting without interrupting what is waited for, and stopping what must not go on."""

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

Result = TypeVar("Result")

_CANCEL_AGAIN_SECONDS = 1.0


async def within(seconds: float, work: Awaitable[Result]) -> Result:
    """The result of `work`. Raises `TimeoutError` when it takes longer than `seconds`.

    Other than with `asyncio.timeout`, `work` is left to end by itself when it is late, and when who waits for it is
    cancelled: for work on a database client, which has time limits of its own and may be left with a held lock when
    it is cancelled at the wrong moment.
    """
    task = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
    except asyncio.CancelledError:
        task.add_done_callback(_look_at)
        raise
    if not done:
        task.add_done_callback(_look_at)
        raise TimeoutError
    return task.result()


async def stop(*tasks: "asyncio.Future[Any]") -> None:
    """Cancel `tasks` until they have ended, however they end.

    Once is not enough: `asyncio.wait_for` of Python 3.11 loses a cancellation that comes just as what it waits for
    is done (python/cpython#86296), and PyMongo sends everything through it.
    """
    going = set(tasks)
    while going:
        for task in going:
            task.cancel()
        _, going = await asyncio.wait(going, timeout=_CANCEL_AGAIN_SECONDS)
    for task in tasks:
        _look_at(task)


def _look_at(task: "asyncio.Future[Any]") -> None:
    # An outcome that nobody looks at is reported as a mistake when the task is collected.
    if not task.cancelled():
        task.exception()
