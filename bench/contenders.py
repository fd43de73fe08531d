"""The gateways that are compared, each a process of one worker in front of the same upstream."""

import asyncio
import os
import shutil
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import jwt
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from bench.harness import process_memory_bytes
from chassis.testing.tokens import ISSUER, TokenIssuer
from gateway.testing.process import NO_BROKER, Identity, free_port, running_gateway

_MOVIES = ", ".join(f'{{"id": {n}, "title": "{"A title of " * 7}{n:03d}"}}' for n in range(20))
PAGE = f'{{"data": [{_MOVIES}]}}'.ljust(2312)
"""What the upstream answers: as much as twenty movies of the catalog's list."""

_NGINX = """
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log {folder}/error.log crit;
events {{ worker_connections 4096; }}
http {{
  access_log off;
  keepalive_requests 1000000000;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  {body}
}}
"""
_UPSTREAM = """server {{
    listen 127.0.0.1:{port} backlog=4096;
    default_type application/json;
    location / {{ return 200 '{page}'; }}
  }}"""
_PROXY = """upstream service {{ server 127.0.0.1:{upstream}; keepalive 256; keepalive_requests 1000000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=4096;
    location / {{
      proxy_pass http://service;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header X-Request-Id $request_id;
      proxy_set_header X-Forwarded-For $remote_addr;
    }}
  }}"""
_HAPROXY = """
global
  nbthread 1
  maxconn 4096
defaults
  mode http
  timeout connect 1s
  timeout client 60s
  timeout server 60s
  http-reuse always
frontend public
  bind 127.0.0.1:{port}
  http-request set-var(txn.token) http_auth_bearer
  http-request set-var(txn.algorithm) var(txn.token),jwt_header_query('$.alg')
  http-request set-var(txn.issuer) var(txn.token),jwt_payload_query('$.iss')
  http-request deny deny_status 401 unless {{ var(txn.algorithm) -m str ES256 }}
  http-request deny deny_status 401 unless {{ var(txn.issuer) -m str {issuer} }}
  http-request deny deny_status 401 unless {{ var(txn.token),jwt_verify(txn.algorithm,"{key}") -m int 1 }}
  http-request set-header X-Request-Id %[uuid]
  http-request set-header X-Forwarded-For %[src]
  default_backend service
backend service
  server one 127.0.0.1:{upstream} pool-max-conn 256
"""


@dataclass(frozen=True, slots=True)
class Contender:
    """A server under test; `pids` are all its processes."""

    name: str
    url: str
    pids: tuple[int, ...]

    def memory_megabytes(self) -> float:
        return sum(process_memory_bytes(pid) for pid in self.pids) / 2**20


def _children(pid: int) -> tuple[int, ...]:
    return tuple(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))


def _program(name: str) -> str:
    # Debian puts servers where an ordinary user's PATH does not lead.
    found = shutil.which(name, path=f"{os.environ['PATH']}:/usr/sbin")
    if found is None:
        raise SystemExit(f"{name} is not installed; `make bench-gateway` sees to that")
    return found


async def _answering(url: str) -> None:
    deadline = time.monotonic() + 60
    async with httpx.AsyncClient(trust_env=False) as client:
        while True:
            try:
                await client.get(url)
            except httpx.TransportError:
                if time.monotonic() > deadline:
                    raise
                await asyncio.sleep(0.05)
            else:
                return


@asynccontextmanager
async def _started(
    name: str, argv: Sequence[str], port: int, environment: Mapping[str, str] | None = None
) -> AsyncIterator[Contender]:
    process = await asyncio.create_subprocess_exec(*argv, env={**os.environ, **(environment or {})})
    try:
        url = f"http://127.0.0.1:{port}"
        await _answering(f"{url}/livez")
        yield Contender(name, url, (process.pid, *_children(process.pid)))
    finally:
        process.terminate()
        await process.wait()


def _nginx(name: str, body: str, port: int, folder: Path) -> AbstractAsyncContextManager[Contender]:
    own = folder / name
    own.mkdir()
    configuration = own / "nginx.conf"
    configuration.write_text(_NGINX.format(folder=own, body=body))
    return _started(name, [_program("nginx"), "-e", f"{own}/error.log", "-p", str(own), "-c", str(configuration)], port)


def direct(folder: Path) -> AbstractAsyncContextManager[Contender]:
    """The upstream itself."""
    port = free_port()
    return _nginx("direct", _UPSTREAM.format(port=port, page=PAGE), port, folder)


def nginx(upstream_port: int, folder: Path) -> AbstractAsyncContextManager[Contender]:
    """A reverse proxy that checks nothing."""
    port = free_port()
    return _nginx("nginx", _PROXY.format(port=port, upstream=upstream_port), port, folder)


def haproxy(upstream_port: int, issuer: TokenIssuer, folder: Path) -> AbstractAsyncContextManager[Contender]:
    """Verifies the signature and the issuer of every request's token."""
    port = free_port()
    key, configuration = folder / "key.pem", folder / "haproxy.cfg"
    public = jwt.PyJWK(issuer.jwks()["keys"][0], "ES256").key
    key.write_bytes(public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    configuration.write_text(_HAPROXY.format(port=port, upstream=upstream_port, key=key, issuer=ISSUER))
    return _started("haproxy, ES256", [_program("haproxy"), "-db", "-f", str(configuration)], port)


def naive(upstream_port: int, identity: Identity) -> AbstractAsyncContextManager[Contender]:
    """`bench.naive_gateway` as it would be run: uvicorn, uvloop, httptools, no access log."""
    port = free_port()
    environment = {
        "NAIVE_UPSTREAM": f"http://127.0.0.1:{upstream_port}",
        "NAIVE_JWKS": f"{identity.url}/.well-known/jwks.json",
    }
    argv = [sys.executable, "-m", "uvicorn", "bench.naive_gateway:app", "--port", str(port)]
    return _started("FastAPI + httpx", [*argv, "--no-access-log", "--log-level", "warning"], port, environment)


@asynccontextmanager
async def ours(upstream_port: int, identity: Identity, folder: Path) -> AsyncIterator[Contender]:
    """The gateway with everything on: access log, metrics, limits, deny-list, events of a broker if there is one.

    All load comes from one address, so the limit of an address is counted but set too high to be met.
    """
    upstream = f"http://127.0.0.1:{upstream_port}"
    urls = {"identity": identity.url, "subscription": upstream, "catalog": upstream, "watch": upstream}
    settings = {
        "broker_url": os.environ.get("STACK_AMQP_URL", NO_BROKER),
        "address_rate": 10**7,
        "address_burst": 10**7,
        "user_rate": 10**5,
        "user_burst": 10**5,
    }
    async with running_gateway(folder, urls, **settings) as gateway:
        yield Contender("gateway", gateway.url, (gateway.process.pid,))


@asynccontextmanager
async def all_contenders(folder: Path, issuer: TokenIssuer) -> AsyncIterator[dict[str, Contender]]:
    """All of them, running, by name."""
    async with AsyncExitStack() as stack:
        identity = Identity(issuer)
        await identity.start()
        stack.push_async_callback(identity.stop)
        upstream = await stack.enter_async_context(direct(folder))
        port = int(upstream.url.rpartition(":")[2])
        others = (
            nginx(port, folder),
            naive(port, identity),
            haproxy(port, issuer, folder),
            ours(port, identity, folder),
        )
        servers = [upstream, *[await stack.enter_async_context(starting) for starting in others]]
        yield {server.name: server for server in servers}
