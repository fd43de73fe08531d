"""The order in which a cluster is changed, seen by a `kubectl` that only writes down what it is asked."""

import os
import subprocess
from pathlib import Path

import pytest
from tests.deploy.conftest import BIN

RECORDER = """#!/bin/sh
if [ "$1" = kustomize ]; then exec "{kubectl}" "$@"; fi
echo "$@" >> "{journal}"
case "$*" in *"{fails}"*) exit 1 ;; esac
"""


def roll_out(folder: Path, tmp_path: Path, overlay: str, fails: str = "nothing fails") -> tuple[int, list[str]]:
    """Run the script; its exit status and what it asked of the cluster."""
    journal, kubectl = tmp_path / "journal", tmp_path / "kubectl"
    kubectl.write_text(RECORDER.format(kubectl=BIN / "kubectl", journal=journal, fails=fails))
    kubectl.chmod(0o755)
    environment = {"PATH": os.environ["PATH"], "KUBECTL": str(kubectl)}
    done = subprocess.run([folder / "rollout.sh", overlay], env=environment, capture_output=True, check=False)
    return done.returncode, journal.read_text().splitlines()


@pytest.mark.parametrize("overlay", ["local", "production"])
def test_migrations_end_before_processes_change(kubernetes_folder: Path, tmp_path: Path, overlay: str) -> None:
    code, asked = roll_out(kubernetes_folder, tmp_path, overlay)
    assert code == 0
    verbs = [" ".join(line.split()[:2]) if line.startswith("rollout") else line.split()[0] for line in asked]
    servers = ["rollout status"] if overlay == "local" else []
    assert verbs == ["apply", *servers, "delete", "apply", *["wait"] * 4, "apply", "rollout status"]
    applied = [line for line in asked if line.startswith("apply")]
    assert "notin (api, worker, gateway, migrate)" in applied[0]
    assert applied[1].endswith("app.kubernetes.io/component=migrate")
    assert "in (api, worker, gateway)" in applied[2]


def test_a_failing_migration_leaves_the_processes_alone(kubernetes_folder: Path, tmp_path: Path) -> None:
    code, asked = roll_out(kubernetes_folder, tmp_path, "local", fails="job/subscription-migrate")
    assert code == 1
    assert not [line for line in asked if "--selector app.kubernetes.io/component in (api" in line]
    assert asked[-1].startswith("logs")
