"""Runs all fault tests again and again, each round with a seed of its own: `soak.py MINUTES`.

Every round is the whole of this folder, the slow tests included. The output of a failed round is kept, and its seed
is in it: `FAULTS_SEED=… FAULTS_SOAK=1 pytest tests/faults` repeats it.
"""

import os
import secrets
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).parent


def one_round(seed: int) -> tuple[bool, str]:
    """Whether the round passed, and its output."""
    environment = {**os.environ, "FAULTS_SEED": str(seed), "FAULTS_SOAK": "1"}
    argv = [sys.executable, "-m", "pytest", "-q", "-s", "-p", "no:cacheprovider", str(HERE)]
    done = subprocess.run(argv, env=environment, capture_output=True, text=True, check=False, cwd=HERE.parents[1])
    return done.returncode == 0, done.stdout + done.stderr


def main(minutes: float) -> int:
    """Rounds until the time is over; the number of failed ones."""
    deadline = time.monotonic() + minutes * 60
    rounds = failed = 0
    while rounds == 0 or time.monotonic() < deadline:
        seed = secrets.randbelow(2**31)
        began = time.monotonic()
        passed, output = one_round(seed)
        rounds += 1
        sys.stdout.write(
            f"round {rounds} seed {seed} {'passed' if passed else 'FAILED'} {time.monotonic() - began:.0f} s\n"
        )
        if not passed:
            failed += 1
            kept = Path(tempfile.gettempdir()) / f"faults-{seed}.log"
            kept.write_text(output)
            sys.stdout.write(f"  output kept in {kept}\n")
        sys.stdout.flush()
    return failed


if __name__ == "__main__":
    sys.exit(min(1, main(float(sys.argv[1]) if len(sys.argv) > 1 else 60)))
