"""Whatever a process has to say is one JSON object a line, its end included."""

import json
import subprocess
import sys

PROGRAM = """
import warnings
from chassis.logging import configure_logging

configure_logging("test")
warnings.warn("mind the gap")
raise RuntimeError("first line\\nsecond line")
"""


def test_warnings_and_the_exception_that_ends_a_process_are_records() -> None:
    outcome = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, check=False, timeout=60)
    assert outcome.returncode == 1
    assert outcome.stderr == ""
    warning, end = (json.loads(line) for line in outcome.stdout.splitlines())
    assert (warning["level"], warning["service"]) == ("warning", "test")
    assert "mind the gap" in warning["message"]
    assert (end["level"], end["message"]) == ("critical", "the process ends")
    assert "first line\nsecond line" in end["exception"]
