"""What all processes have written during the whole run: one JSON object a line, and nothing that must not be there.

Collected last (see conftest.py), so that the logs hold what every other test has caused.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from suite_client import PASSWORD, environment
from suite_processes import processes

EMAIL = re.compile(r"[A-Za-z0-9_.+-]+@[A-Za-z0-9-]+\.[A-Za-z0-9.]+")
JWT = re.compile(r"eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}")
BEARER = re.compile(r"[Bb]earer [A-Za-z0-9._~+/=-]{8,}")
# A refresh or recovery token: 32 random bytes in base64url.
OPAQUE = re.compile(r"(?<![A-Za-z0-9_-])(?:[a-z]+_)?[A-Za-z0-9_-]{43}(?![A-Za-z0-9_-])")
CREDENTIALS_IN_URL = re.compile(r"://[^/\s\"@]*:[^/\s\"@]+@")
SECRET_SETTING = re.compile(r"(PASSWORD|TOKEN|PEPPER|SECRET|ENCRYPTION_KEY)$")
# The thumbprint of a public key (RFC 7638) looks like a token and is none.
PUBLIC_MEMBERS = ("kid",)
# Every one of these must have had something to say.
TALKATIVE = ("gateway", "identity-api", "subscription-api", "catalog-api", "watch-api", "catalog-worker")


def secrets() -> set[str]:
    """Passwords of the tests and of the stack, and every secret that a process was given."""
    found = {PASSWORD, environment("ADMIN_PASSWORD")}
    for process in processes().values():
        found |= {value for name, value in process.environment.items() if SECRET_SETTING.search(name)}
    # The TMDB token of the simulator is the word "simulator".
    return {secret for secret in found if len(secret) >= 12}


def without_public_members(line: str) -> str:
    document = json.loads(line)
    return json.dumps(
        {name: value for name, value in document.items() if name not in PUBLIC_MEMBERS}, ensure_ascii=False
    )


def findings(line: str, known: set[str]) -> Iterator[str]:
    """What is wrong with a line of a log."""
    try:
        document: Any = json.loads(line)
    except ValueError:
        yield "no JSON"
        return
    if not isinstance(document, dict) or not {"time", "level", "service", "logger", "message"} <= document.keys():
        yield "members are missing"
        return
    text = without_public_members(line)
    for what, pattern in (
        ("e-mail address", EMAIL),
        ("JWT", JWT),
        ("bearer token", BEARER),
        ("token", OPAQUE),
        ("credentials", CREDENTIALS_IN_URL),
    ):
        if pattern.search(text):
            yield what
    if any(secret in text for secret in known):
        yield "secret"


@pytest.mark.parametrize(
    ("message", "what"),
    [
        ("mail to someone@example.com", "e-mail address"),
        ("got eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiIxMjM0NTYifQ.c2ln", "JWT"),
        ("authorization: Bearer abcdefgh12345678", "bearer token"),
        ("token=" + "aB3_" * 10 + "xyz", "token"),
        ("refresh rt_" + "aB3_" * 10 + "xyz", "token"),
        ("cannot reach amqp://suite:hunter2@rabbitmq:5672/", "credentials"),
        (f"password was {PASSWORD}", "secret"),
        ("request", None),
    ],
)
def test_what_must_not_be_logged_is_recognised(message: str, what: str | None) -> None:
    line = json.dumps({"time": "", "level": "info", "service": "x", "logger": "y", "message": message})
    found = list(findings(line, {PASSWORD}))
    assert (what in found) if what else (found == [])


def test_lines_that_are_no_records_are_recognised() -> None:
    assert list(findings("Traceback (most recent call last):", set())) == ["no JSON"]
    assert list(findings('{"message": "alone"}', set())) == ["members are missing"]


def own_logs() -> list[Path]:
    """The logs of our own processes, migrations included; servers write what they like."""
    folder = Path(environment("STACK_STATE")) / "logs"
    services = {re.sub(r"-(api|worker)(-\d+)?$|-\d+$", "", name) for name in processes()}
    return sorted(
        log for log in folder.glob("*.log") if re.sub(r"-(api|worker|migrate)(-\d+)?$|-\d+$", "", log.stem) in services
    )


def test_every_line_of_the_whole_run_is_json_and_holds_no_secret() -> None:
    known = secrets()
    logs = own_logs()
    silent = [name for name in TALKATIVE if name not in {log.stem for log in logs if log.stat().st_size}]
    assert silent == []
    wrong = [
        f"{log.name}:{number}: {', '.join(found)}: {line[:300] if found == ['no JSON'] else '(not repeated)'}"
        for log in logs
        for number, line in enumerate(log.read_text().splitlines(), 1)
        if (found := list(findings(line, known)))
    ]
    assert wrong == [], "\n".join(wrong[:20])
