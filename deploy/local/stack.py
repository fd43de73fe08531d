#!/usr/bin/env python3
"""Run the whole suite as local processes, without Docker: ``python3 deploy/local/stack.py --help``."""

import sys

if sys.version_info < (3, 11):  # noqa: UP036 - an older one may well be what `python3` is
    # Said here, before an import of newer syntax could fail with something less clear.
    sys.exit(f"stack: Python 3.11 or newer is needed, this is {sys.version.split()[0]}")

from localstack.cli import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
