"""`python -m gateway`."""

import sys

# httpx brings its command line along wherever `rich` happens to be installed, and a process pays 3 MB for it.
sys.modules["httpx._main"] = None  # type: ignore[assignment]  # the documented way to make an import fail

from chassis.process import run_worker_process  # noqa: E402
from gateway.main import run  # noqa: E402

if __name__ == "__main__":
    run_worker_process(run)
