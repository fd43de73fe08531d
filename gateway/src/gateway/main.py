"""The gateway's process: the public port, the operations port and what goes on besides."""

import asyncio
import gc
import logging
import resource
import signal
import socket
from typing import cast

import uvicorn
from starlette.types import Receive, Scope, Send

from chassis.logging import configure_logging
from chassis.operations import operations_app
from chassis.process import EmbeddedServer, run_worker
from chassis.tracing import configure_tracing
from gateway import config
from gateway.app import Gateway, Sweepable
from gateway.assembly import assemble, reload_routes
from gateway.client import protocol_class
from gateway.exchange import Exchange

_log = logging.getLogger(__name__)


async def _no_application(_scope: Scope, _receive: Receive, _send: Send) -> None:
    raise RuntimeError("requests are read by ClientConnection, not passed on as ASGI messages")


def _public_server(gateway: Gateway, exchange_class: type[Exchange]) -> EmbeddedServer:
    settings = gateway.settings

    server = EmbeddedServer(
        uvicorn.Config(
            _no_application,
            host=settings.host,
            port=settings.port,
            http=protocol_class(gateway, exchange_class),
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
            date_header=False,
            backlog=2048,
            timeout_graceful_shutdown=max(1, round(settings.drain_seconds)),
        )
    )
    gateway.connections = lambda: cast(list[Sweepable], list(server.server_state.connections))
    return server


async def serve(gateway: Gateway, exchange_class: type[Exchange], sockets: list[socket.socket] | None = None) -> None:
    """Serve the public port until cancelled, then finish what is under way.

    First readiness turns false, so that a balancer in front stops sending; `drain_notice_seconds` later the
    port closes, and requests under way have `drain_seconds`.
    """
    server = _public_server(gateway, exchange_class)
    serving = asyncio.create_task(server.serve(sockets))
    sweeping = asyncio.create_task(gateway.sweep())
    try:
        await asyncio.wait([serving])
    finally:
        gateway.is_draining = True
        await asyncio.sleep(gateway.settings.drain_notice_seconds)
        server.should_exit = True
        await serving
        for connection in list(server.server_state.connections):
            connection.transport.abort()
        sweeping.cancel()


def _raise_file_limit() -> None:
    """Two sockets for each exchange: the soft limit of many systems (1024) is meant for `select`."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _calm_garbage_collector() -> None:
    """Requests leave no cycles behind: what is loaded by now need not be looked through again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 20, 20)


async def run() -> None:
    """Run the gateway until SIGTERM."""
    settings = config.load()
    configure_logging("gateway", settings.log_level)
    configure_tracing("gateway")
    _raise_file_limit()
    async with assemble(settings) as assembly:
        asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, reload_routes, assembly.gateway)

        async def public() -> None:
            await serve(assembly.gateway, assembly.exchange_class)

        _calm_garbage_collector()
        operations = operations_app(assembly.registry, assembly.checks)
        await run_worker({"public port": public, **assembly.tasks}, operations, settings)
