"""How a process runs and ends: the API server, and the supervised tasks of a worker."""

import asyncio
import contextlib
import logging
import random
import signal
from collections.abc import Awaitable, Callable, Iterator, Mapping
from typing import Protocol

import uvicorn
from starlette.types import ASGIApp

_log = logging.getLogger(__name__)

# SIGTERM to exit stays below 25 s: orchestrators kill after 30.
DRAIN_SECONDS = 20
# Longer than the gateway keeps an idle connection, so that the gateway is always the one that closes it.
_KEEP_ALIVE_SECONDS = 75


class Listening(Protocol):
    """Of the settings of a process, where it listens and whose `X-Forwarded-For` it believes."""

    @property
    def host(self) -> str: ...
    @property
    def port(self) -> int: ...
    @property
    def ops_port(self) -> int: ...
    @property
    def trusted_proxies(self) -> str: ...


def server_config(app: ASGIApp, settings: Listening, port: int) -> uvicorn.Config:
    """uvicorn as every process uses it: httptools' strict parser, no guessing of client addresses, no banner."""
    return uvicorn.Config(
        app,
        host=settings.host,
        port=port,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        server_header=False,
        date_header=False,
        proxy_headers=True,
        forwarded_allow_ips=settings.trusted_proxies,
        timeout_keep_alive=_KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=DRAIN_SECONDS,
    )


def run_api(app: ASGIApp, settings: Listening) -> None:
    """Serve `app` until SIGTERM, then finish the requests under way."""
    uvicorn.Server(server_config(app, settings, settings.port)).run()


class EmbeddedServer(uvicorn.Server):
    """A server beside other tasks, which leaves signals to the process."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


Task = Callable[[], Awaitable[None]]


async def _supervise(name: str, task: Task) -> None:
    """Run `task` for ever; a failure is logged and it starts again after a growing, jittered pause."""
    pause = 0.5
    loop = asyncio.get_running_loop()
    while True:
        started = loop.time()
        try:
            await task()
            reason = "ended"
        except Exception as error:  # noqa: BLE001 - one failing task must not take the others down
            reason = f"{type(error).__name__}: {error}"
            _log.warning("task failed", extra={"task": name, "reason": reason}, exc_info=pause > 4)
        # A task that had been running well starts again quickly.
        pause = 0.5 if loop.time() - started > 60 else min(pause * 2, 10.0)
        await asyncio.sleep(random.uniform(pause / 2, pause))  # noqa: S311 - jitter, no secret


async def run_worker(tasks: Mapping[str, Task], operations: ASGIApp, settings: Listening) -> None:
    """Run `tasks` until SIGTERM or SIGINT, with `operations` served on the operations port.

    Each task is cancelled at the end and has `DRAIN_SECONDS` to finish what it has begun.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    server = EmbeddedServer(server_config(operations, settings, settings.ops_port))
    serving = asyncio.create_task(server.serve(), name="operations")
    running = [asyncio.create_task(_supervise(name, task), name=name) for name, task in tasks.items()]
    stopping = asyncio.create_task(stop.wait())
    await asyncio.wait([stopping, serving], return_when=asyncio.FIRST_COMPLETED)
    _log.info("stopping")
    for task in running:
        task.cancel()
    if running:
        _, unfinished = await asyncio.wait(running, timeout=DRAIN_SECONDS)
        for task in unfinished:
            _log.error("task did not stop in time", extra={"task": task.get_name()})
    server.should_exit = True
    stopping.cancel()
    await serving


def run_worker_process(main: Callable[[], Awaitable[None]]) -> None:
    """Run a worker's coroutine on uvloop."""
    import uvloop  # noqa: PLC0415 - the API process gets it through uvicorn

    async def entry() -> None:
        await main()

    uvloop.run(entry())
