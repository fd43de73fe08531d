"""What the gateway asks on its own account: an object, in time, of a bounded size, or a reason why not."""

import asyncio
import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from gateway import fetch
from gateway.fetch import FetchError, fetch_object, first_object
from gateway.testing.process import free_port
from gateway.testing.upstream import Exchange, RecordingUpstream, recording_upstream


@pytest.fixture
async def upstream() -> AsyncIterator[RecordingUpstream]:
    async with recording_upstream() as running:
        yield running


async def get(url: str, max_bytes: int = 1000, seconds: float = 2.0) -> dict[str, object]:
    return await fetch_object(url, seconds=seconds, max_bytes=max_bytes, headers={"Authorization": "Bearer x"})


def answering(upstream: RecordingUpstream, data: bytes) -> None:
    async def answer(exchange: Exchange) -> None:
        await exchange.send(data)
        exchange.close = True

    upstream.handler = answer


async def test_an_object_is_fetched_and_the_request_is_plain(upstream: RecordingUpstream) -> None:
    answering(upstream, b'HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n{"a":1}')
    assert await get(f"{upstream.url}/keys?x=1") == {"a": 1}
    (request,) = upstream.requests
    assert (request.method, request.target) == ("GET", "/keys?x=1")
    assert request.values("host") == [upstream.url.removeprefix("http://")]
    assert request.values("authorization") == ["Bearer x"]
    assert request.values("connection") == ["close"]


async def test_an_object_may_come_in_chunks(upstream: RecordingUpstream) -> None:
    answering(upstream, b'HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\n{"a\r\n4\r\n":1}\r\n0\r\n\r\n')
    assert await get(upstream.url) == {"a": 1}


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n[]", "no JSON object"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n{", "JSONDecodeError"),
        (b"HTTP/1.1 500 X\r\ncontent-length: 2\r\n\r\n{}", "status 500"),
        (b"HTTP/1.1 302 X\r\nlocation: http://127.0.0.1:1/\r\ncontent-length: 2\r\n\r\n{}", "status 302"),
        (b"HTTP/1.1 101 X\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", "Upgrade|status 101"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{}", "cut off"),
        (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n2\r\n{}\r\n", "cut off"),
        (b"nonsense\r\n\r\n", "HttpParser"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 2000\r\n\r\n" + b" " * 2000, "more than 1000 bytes"),
        (b"HTTP/1.1 200 OK\r\nx: " + b"y" * 100_000, "without end"),
    ],
)
async def test_anything_else_is_no_answer(upstream: RecordingUpstream, answer: bytes, reason: str) -> None:
    answering(upstream, answer)
    with pytest.raises(FetchError, match=reason):
        await get(upstream.url)


async def test_a_silent_server_costs_the_time_only(upstream: RecordingUpstream) -> None:
    async def silent(exchange: Exchange) -> None:
        await exchange.reader.read()

    upstream.handler = silent
    begin = asyncio.get_running_loop().time()
    with pytest.raises(FetchError, match="TimeoutError"):
        await get(upstream.url, seconds=0.2)
    assert asyncio.get_running_loop().time() - begin < 1


@pytest.mark.parametrize("url", ["ftp://127.0.0.1/", "http:///x", "127.0.0.1:80"])
async def test_what_is_no_address_is_not_asked(url: str) -> None:
    with pytest.raises(FetchError, match="no address"):
        await get(url)


async def test_the_first_that_answers_counts(upstream: RecordingUpstream) -> None:
    answering(upstream, b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}")
    dead = f"http://127.0.0.1:{free_port()}"
    assert await first_object([dead, upstream.url, dead], get) == {}
    with pytest.raises(FetchError, match="Refused"):
        await first_object([dead], get)
    with pytest.raises(FetchError, match="no address is configured"):
        await first_object([], get)


async def test_a_certificate_of_an_unknown_authority_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate, key = _self_signed(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b'HTTP/1.1 200 OK\r\ncontent-length: 7\r\n\r\n{"a":1}')
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=context)
    url = f"https://localhost:{server.sockets[0].getsockname()[1]}/"
    fetch._trusted_authorities.cache_clear()
    with pytest.raises(FetchError, match="CERTIFICATE_VERIFY_FAILED"):
        await get(url)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    fetch._trusted_authorities.cache_clear()
    assert await get(url) == {"a": 1}
    fetch._trusted_authorities.cache_clear()
    server.close()
    await server.wait_closed()


def _self_signed(folder: Path) -> tuple[Path, Path]:
    from datetime import UTC, datetime, timedelta

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = folder / "certificate.pem", folder / "key.pem"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return files
