"""What one piece of work costs on an event loop, told apart from what its process does as time goes by.

The longer an answer takes, the more of its wall clock is filled by others: pools that look after their connections,
timers, polls. The CPU of the process cannot tell them from the work; the callbacks that the loop runs can, because each
runs in the context of whoever has scheduled it.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from typing import Any, TypeVar
from unittest.mock import patch

_Result = TypeVar("_Result")


class Account:
    """CPU of this thread, in seconds: `work` in callbacks of the work and in reads of sockets, `other` in all others.

    Reads are counted whoever has opened the socket, because connections outlive the work that opens them: only where
    nothing else is received meanwhile do they belong to it.
    """

    def __init__(self) -> None:
        self.work = 0.0
        self.other = 0.0


_OWNER: ContextVar[Account | None] = ContextVar("account of a benchmark", default=None)


def _is_read(handle: Any) -> bool:
    return getattr(handle._callback, "__name__", "") == "_read_ready"  # noqa: SLF001 - there is no other way to tell


@contextmanager
def accounting() -> Iterator[Account]:
    """An account of everything that the loop runs inside of the block; work belongs to it that `charged` has begun."""
    account = Account()
    run = asyncio.Handle._run  # type: ignore[attr-defined]  # noqa: SLF001 - the one place that all callbacks pass

    def counted(handle: Any) -> None:
        context: Context = handle._context  # noqa: SLF001
        is_work = context.get(_OWNER) is account or _is_read(handle)
        begin = time.thread_time()
        run(handle)
        used = time.thread_time() - begin
        if is_work:
            account.work += used
        else:
            account.other += used

    with patch.object(asyncio.Handle, "_run", counted):
        yield account


def uncharged(work: Callable[..., Coroutine[Any, Any, _Result]]) -> Callable[..., Coroutine[Any, Any, _Result]]:
    """`work` for a task of its own that is at nobody's expense."""

    async def run(*arguments: Any) -> _Result:
        _OWNER.set(None)
        return await work(*arguments)

    return run


async def charged(account: Account, work: Coroutine[Any, Any, _Result]) -> _Result:
    """Do `work`, and whatever it schedules, at the expense of `account`."""
    context = copy_context()
    context.run(_OWNER.set, account)
    return await asyncio.create_task(work, context=context)
