"""`python -m gateway`."""

from chassis.process import run_worker_process
from gateway.main import run

if __name__ == "__main__":
    run_worker_process(run)
