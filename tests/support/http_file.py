"""Reads and sends collections in the form of VS Code's REST Client (`.http`), as far as docs/mission.http uses it."""

import json
import random
import re
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

_PLACEHOLDER = re.compile(r"\{\{\s*([^}]+?)\s*\}\}")


@dataclass(frozen=True)
class Step:
    """One request of a collection, its placeholders not filled in yet."""

    title: str
    status: int
    request_line: str
    headers: tuple[str, ...]
    body: str
    name: str | None
    prompts: tuple[str, ...]


def parse(text: str) -> tuple[dict[str, str], list[Step]]:
    """The variables of the file and its requests, in order."""
    opening, *blocks = re.split(r"^### *", text, flags=re.MULTILINE)
    return dict(re.findall(r"^@(\w+) *= *(.*)$", opening, re.MULTILINE)), [_step(block) for block in blocks]


def _step(block: str) -> Step:
    title, _, rest = block.partition("\n")
    promised = re.search(r"Answers (\d{3})$", title.strip())
    assert promised is not None, f"'{title}' does not say what it answers"
    head, _, body = rest.partition("\n\n")
    comments = [line for line in head.splitlines() if line.startswith("#")]
    request_line, *headers = [line for line in head.splitlines() if not line.startswith("#")]
    names = [line.split()[2] for line in comments if line.startswith("# @name ")]
    prompts = tuple(line.split()[2] for line in comments if line.startswith("# @prompt "))
    return Step(title, int(promised[1]), request_line, tuple(headers), body.strip(), (names or [None])[0], prompts)


@dataclass
class Runner:
    """Sends steps one after another; `ask` stands for the person whom a prompt asks."""

    http: httpx.Client
    variables: dict[str, str]
    ask: Callable[[str, Mapping[str, httpx.Response]], str]
    answers: dict[str, httpx.Response] = field(default_factory=dict)

    def send(self, step: Step) -> httpx.Response:
        for prompt in step.prompts:
            self.variables[prompt] = self.ask(prompt, self.answers)
        method, url = self._fill(step.request_line).split(maxsplit=1)
        headers = dict(self._fill(line).split(": ", 1) for line in step.headers)
        answer = self.http.request(method, url, headers=headers, content=self._fill(step.body) or None)
        if step.name is not None:
            self.answers[step.name] = answer
        return answer

    def _fill(self, text: str) -> str:
        return _PLACEHOLDER.sub(lambda match: self._value(match[1]), text)

    def _value(self, expression: str) -> str:
        if expression == "$guid":
            return str(uuid.uuid4())
        if match := re.fullmatch(r"\$randomInt (\d+) (\d+)", expression):
            return str(random.randint(int(match[1]), int(match[2]) - 1))
        if match := re.fullmatch(r"(\w+)\.response\.headers\.([\w-]+)", expression):
            return self.answers[match[1]].headers[match[2]]
        if match := re.fullmatch(r"(\w+)\.response\.body\.\$\.(.+)", expression):
            found: Any = self.answers[match[1]].json()
            for part in _parts(match[2]):
                found = found[part]
            return found if isinstance(found, str) else json.dumps(found)
        return self.variables[expression]


def _parts(path: str) -> Iterator[str | int]:
    for name, index in re.findall(r"(\w+)|\[(\d+)\]", path):
        yield name or int(index)
