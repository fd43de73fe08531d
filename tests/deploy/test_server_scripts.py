"""The scripts that the images of the databases run at their first start, run here with stand-ins for their programs."""

import re
import subprocess
from pathlib import Path

import pytest
from tests.deploy.conftest import ROOT

SCRIPTS = ROOT / "deploy/compose"
# Notes its arguments and what it reads.
RECORDER = '#!/bin/sh\n{ echo "$0 $*"; [ -t 0 ] || cat; } >>"$JOURNAL"\n'


class Runner:
    """Runs shell with recording programs on its path."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("mysql", "chown", "docker-entrypoint.sh"):
            (folder / name).write_text(RECORDER)
            (folder / name).chmod(0o755)

    def __call__(self, command: str, **environment: str) -> str:
        told = {"PATH": f"{self.folder}:/usr/bin:/bin", "TMPDIR": str(self.folder), "JOURNAL": f"{self.folder}/journal"}
        done = subprocess.run(
            ["bash", "-c", command],
            env=told | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return (self.folder / "journal").read_text()


@pytest.fixture
def run(tmp_path: Path) -> Runner:
    return Runner(tmp_path)


@pytest.mark.parametrize("key", ["abcXYZ019_-_-abcXYZ019", "abcXYZ019+/="])
def test_the_key_of_the_replica_set_is_one_that_mongodb_reads(run: Runner, key: str) -> None:
    asked = run(f"exec {SCRIPTS}/mongo/start.sh", MONGO_REPLICA_KEY=key)
    file = run.folder / "replica.key"
    assert re.fullmatch(r"[A-Za-z0-9+/=]{6,1024}\n", file.read_text())
    assert file.stat().st_mode & 0o777 == 0o600
    assert f"docker-entrypoint.sh mongod --replSet rs0 --keyFile {file}" in asked


ACCOUNTS = {
    "MYSQL_ROOT_PASSWORD": "root",
    "IDENTITY_DATABASE_PASSWORD": "it's\\",
    "SUBSCRIPTION_DATABASE_PASSWORD": "simple",
}


@pytest.mark.parametrize("how", ["", "."])
def test_accounts_are_made_whether_the_image_runs_the_script_or_sources_it(run: Runner, how: str) -> None:
    # As the image's entry point does: its own options are set, and afterwards it asks for variables that are not.
    script = f'set -eo pipefail; {how} {SCRIPTS}/mysql/10-accounts.sh; [ -z "$MYSQL_ONETIME_PASSWORD" ]'
    asked = run(script, **ACCOUNTS)
    assert r"CREATE USER IF NOT EXISTS identity@'%' IDENTIFIED BY 'it''s\\';" in asked
    assert "GRANT ALL ON subscription.* TO subscription@'%';" in asked


@pytest.mark.parametrize("how", ["", "."])
def test_a_password_that_is_missing_ends_the_start(run: Runner, how: str) -> None:
    missing = {name: value for name, value in ACCOUNTS.items() if not name.startswith("SUBSCRIPTION")}
    with pytest.raises(AssertionError, match="SUBSCRIPTION_DATABASE_PASSWORD"):
        run(f"set -eo pipefail; {how} {SCRIPTS}/mysql/10-accounts.sh", **missing)
