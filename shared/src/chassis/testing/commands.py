"""Giving a service the commands that an operator gives."""

import asyncio
import io
import json
from collections.abc import Callable
from contextlib import redirect_stderr, redirect_stdout
from typing import Any


async def run_events_command(main: Callable[[list[str]], int], *arguments: str) -> tuple[int, Any, str]:
    """`python -m <service> events …`: exit status, the JSON it printed (None without any), and its error output.

    In this process, whose environment is to hold the service's settings, but with an event loop of its own.
    """
    out, errors = io.StringIO(), io.StringIO()
    with redirect_stdout(out), redirect_stderr(errors):
        status = await asyncio.to_thread(main, ["events", *arguments])
    return status, json.loads(out.getvalue() or "null"), errors.getvalue()
