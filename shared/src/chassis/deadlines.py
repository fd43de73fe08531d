"""Giving up waiting without interrupting what is waited for."""

import asyncio
from collections.abc import Awaitable
from typing import Any, TypeVar

Result = TypeVar("Result")


async def within(seconds: float, work: Awaitable[Result]) -> Result:
    """The result of `work`. Raises `TimeoutError` when it takes longer than `seconds`.

    Other than with `asyncio.timeout`, late work is left to end by itself: for work on a database client, which has
    time limits of its own and may be left with a held lock when it is cancelled at the wrong moment.
    """
    task = asyncio.ensure_future(work)
    try:
        done, _ = await asyncio.wait({task}, timeout=seconds)
    except asyncio.CancelledError:
        # Only the end of the process does this.
        task.cancel()
        raise
    if not done:
        task.add_done_callback(_look_at)
        raise TimeoutError
    return task.result()


def _look_at(task: "asyncio.Task[Any]") -> None:
    # An outcome that nobody looks at is reported as a mistake when the task is collected.
    if not task.cancelled():
        task.exception()
