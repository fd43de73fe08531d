"""Runs the steps of the Dockerfile without Docker: the same commands, as an ordinary user, in a clean folder.

What it understands is what our one Dockerfile uses. Absolute paths of the image lead into the folder; stages share it,
so copying between stages only has to find what it copies. Users are not made: the one who runs the steps has no rights.
"""

from __future__ import annotations

import fnmatch
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

NOBODY = 65534
# Commands that only an image's root can run, and that leave nothing in the file system that programs need.
_ROOT_ONLY = ("useradd ",)


def context_files(root: Path) -> Iterator[Path]:
    """What `.dockerignore` lets into the build: the folders that it names, without what it excludes again."""
    lines = [line for line in (root / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    excluded = [line.removeprefix("**/") for line in lines if line.startswith("**/")]
    for kept in (root / line.removeprefix("!") for line in lines if line.startswith("!")):
        for path in kept.rglob("*") if kept.is_dir() else [kept]:
            parts = path.relative_to(root).parts
            if path.is_file() and not any(fnmatch.fnmatch(part, rule) for part in parts for rule in excluded):
                yield path


def instructions(dockerfile: str) -> Iterator[tuple[str, str]]:
    """Instructions and their arguments, continued lines joined."""
    text = re.sub(r"^\s*#.*\n", "", dockerfile, flags=re.MULTILINE).replace("\\\n", " ")
    for line in filter(None, map(str.strip, text.splitlines())):
        name, _, rest = line.partition(" ")
        yield name.upper(), rest.strip()


class ImageBuild:
    """A build in `folder`, which belongs to whoever runs the steps."""

    def __init__(self, root: Path, folder: Path, **arguments: str) -> None:
        self.root, self.folder = root, folder
        self.entrypoint: list[str] = []
        self.healthcheck: list[str] = []
        self._arguments = arguments
        self._workdir = folder
        interpreter = Path(sys.base_prefix) / "bin" / f"python3.{sys.version_info.minor}"
        # An interpreter that root has made for itself can be run by root alone.
        is_for_all = all(parent.stat().st_mode & 0o001 for parent in interpreter.resolve().parents)
        nobody: dict[str, Any] = {"user": NOBODY, "group": NOBODY, "extra_groups": []}
        self._as = nobody if os.geteuid() == 0 and is_for_all else {}
        self._context = folder / "context"
        (folder / "bin").mkdir()
        # Not the interpreter of this environment, whose packages the image must not see.
        (folder / "bin" / "python").symlink_to(interpreter)
        passed_on = {name: value for name, value in os.environ.items() if re.match(r"PIP_|SSL_|.*_proxy$", name, re.I)}
        self.environment = {**passed_on, "PATH": f"{folder / 'bin'}:{os.defpath}", "HOME": str(folder)}
        for source in context_files(root):
            target = self._context / source.relative_to(root)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, target)
        self._own(folder)

    def _own(self, *paths: Path) -> None:
        """Give what this process has made to the one who runs the steps."""
        if self._as:
            for path in (inner for each in paths for inner in (each, *each.rglob("*"))):
                os.chown(path, NOBODY, NOBODY, follow_symlinks=False)

    def _inside(self, text: str) -> str:
        """Paths of the image as paths of the folder; variables of the build filled in."""
        for name, value in self._arguments.items():
            text = text.replace(f"${{{name}}}", value)
        return re.sub(r"(?<![\w.$}/])/(opt|build)\b", rf"{self.folder}/\1", text)

    def run(self) -> None:
        """All steps in order. Raises `AssertionError` with the output of the one that fails."""
        for name, rest in instructions((self.root / "deploy/compose/Dockerfile").read_text()):
            step = {
                "ARG": None,
                "FROM": None,
                "USER": None,
                "HEALTHCHECK": self._set_healthcheck,
                "COPY": self._copy,
                "ENTRYPOINT": self._set_entrypoint,
                "ENV": self._set_environment,
                "RUN": self._run,
                "WORKDIR": self._change_folder,
            }[name]
            if step is not None:
                step(rest)

    def _change_folder(self, rest: str) -> None:
        self._workdir = Path(self._inside(rest))
        self._workdir.mkdir(parents=True, exist_ok=True)
        if self._workdir.is_relative_to(self.folder):
            self._own(self._workdir)

    def _set_healthcheck(self, rest: str) -> None:
        found = re.search(r"CMD (\[.*\])$", rest)
        assert found, rest
        self.healthcheck = json.loads(found[1])

    def _set_environment(self, rest: str) -> None:
        for name, value in re.findall(r"(\w+)=(\S+)", self._inside(rest)):
            self.environment[name] = value.replace("$PATH", self.environment["PATH"])

    def _set_entrypoint(self, rest: str) -> None:
        self.entrypoint = json.loads(rest)

    def _copy(self, rest: str) -> None:
        flags = re.findall(r"--(\w+)=(\S+)", rest)
        *sources, target = self._inside(re.sub(r"--\S+ ", "", rest)).split()
        if ("from", "build") in flags:
            assert all(Path(source).exists() for source in sources), sources
            return
        destination = self._workdir / target
        for source in sources:
            copied = self._context / source
            assert copied.exists(), f"{source} is not in the build context"
            into = destination / copied.name if target.endswith("/") else destination
            into.parent.mkdir(parents=True, exist_ok=True)
            if copied.is_dir():
                shutil.copytree(copied, destination, dirs_exist_ok=True)
            else:
                shutil.copyfile(copied, into)
                into.chmod(int(dict(flags).get("chmod", "644"), 8))
            # Every folder of ours on the way, too.
            self._own(destination, *[each for each in into.parents if each.is_relative_to(self._workdir)])

    def _run(self, rest: str) -> None:
        if rest.startswith(_ROOT_ONLY):
            return
        command = ["/bin/sh", "-c", self._inside(rest)]
        environment = self.environment | self._arguments
        done = subprocess.run(
            command, cwd=self._workdir, env=environment, capture_output=True, text=True, check=False, **self._as
        )
        assert done.returncode == 0, f"{rest}\n{done.stdout[-3000:]}{done.stderr[-3000:]}"

    def start(self, *arguments: str, **environment: str) -> subprocess.Popen[str]:
        """The image's entry point."""
        return subprocess.Popen(
            [*self.entrypoint, *arguments],
            cwd="/tmp",  # noqa: S108 - the image's working folder
            env=self.environment | environment,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            **self._as,
        )
