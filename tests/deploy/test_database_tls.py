"""MySQL over TLS, as managed servers insist on it: the URL alone says so, for services and migrations alike."""

import datetime as dt
import ipaddress
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.ext.asyncio import AsyncSession
from suite_processes import free_port

from chassis.sql import Database, DatabaseUnavailableError, driver_url
from localstack import probes, servers

CIPHER = text("SHOW SESSION STATUS LIKE 'Ssl_cipher'")


def _authority(folder: Path, name: str) -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    certificate = _signed(subject, subject, key, key, x509.BasicConstraints(ca=True, path_length=None))
    (folder / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    return certificate, key


def _signed(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer_key: ec.EllipticCurvePrivateKey,
    *extensions: x509.ExtensionType,
) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + dt.timedelta(days=1))
    )
    for extension in extensions:
        builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
    return builder.sign(issuer_key, hashes.SHA256())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates: of the authority, of the server, and of an authority that has signed nothing."""
    made = tmp_path_factory.mktemp("tls")
    authority, authority_key = _authority(made, "ours")
    _authority(made, "another")
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "mysql")])
    names = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    certificate = _signed(subject, authority.subject, key, authority_key, names)
    (made / "server.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (made / "server-key.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return made


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[str]:
    """The URL of a server that takes nothing but TLS."""
    data, port = folder / "data", free_port()
    install = servers.find_program("mariadb-install-db")
    program = servers.find_program("mariadbd")
    assert install is not None
    assert program is not None
    common = ["--no-defaults", f"--datadir={data}"]
    subprocess.run(
        [install, *common, "--auth-root-authentication-method=normal", "--skip-test-db"],
        check=True,
        capture_output=True,
    )
    argv = [
        program,
        *common,
        "--user=root",
        f"--port={port}",
        "--bind-address=127.0.0.1",
        f"--socket={folder / 's'}",
        "--require-secure-transport=ON",
        f"--ssl-cert={folder / 'server.pem'}",
        f"--ssl-key={folder / 'server-key.pem'}",
        f"--ssl-ca={folder / 'ours.pem'}",
    ]
    with (folder / "log").open("wb") as log, subprocess.Popen(argv, stdout=log, stderr=log) as running:
        try:
            deadline = time.monotonic() + 60
            while not probes.passes(f"greeting://127.0.0.1:{port}"):
                assert running.poll() is None, (folder / "log").read_text()
                assert time.monotonic() < deadline, (folder / "log").read_text()
                time.sleep(0.05)
            yield f"mysql://root@127.0.0.1:{port}/mysql"
        finally:
            running.kill()


async def _cipher(session: AsyncSession) -> str:
    return str((await session.execute(CIPHER)).one()[1])


async def test_a_service_reaches_a_server_whose_certificate_it_can_check(server: str, folder: Path) -> None:
    database = Database(f"{server}?ssl_ca={folder / 'ours.pem'}")
    assert await database.read(_cipher)
    await database.aclose()


async def test_it_does_not_talk_to_one_whose_certificate_it_cannot_check(server: str, folder: Path) -> None:
    database = Database(f"{server}?ssl_ca={folder / 'another.pem'}")
    with pytest.raises(DatabaseUnavailableError):
        await database.read(_cipher)
    await database.aclose()


async def test_the_server_was_to_insist_on_it(server: str) -> None:
    database = Database(server)
    with pytest.raises(OperationalError, match=r"denied|insecure transport"):
        await database.read(_cipher)
    await database.aclose()


def test_migrations_take_the_same_url(server: str, folder: Path) -> None:
    engine = create_engine(driver_url(f"{server}?ssl_ca={folder / 'ours.pem'}", "pymysql"))
    with engine.connect() as connection:
        assert connection.execute(CIPHER).one()[1]
    engine.dispose()
