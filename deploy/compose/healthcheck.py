#!/usr/bin/env python3
"""Exit with 0 if http://127.0.0.1:PORT/readyz answers well; the images have no curl.

Without an argument PORT is <MODULE>_PORT or <MODULE>_OPS_PORT of the environment: an api listens on the one, a worker
on the other, so that one of them has to answer.
"""

import http.client
import os
import sys


def is_ready(port: int) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status < 400
    except (OSError, http.client.HTTPException):
        return False


module = os.environ.get("MODULE", "").upper()
ports = sys.argv[1:] or [os.environ[name] for name in (f"{module}_PORT", f"{module}_OPS_PORT") if name in os.environ]
if not ports:
    sys.exit(f"neither {module}_PORT nor {module}_OPS_PORT is set")
sys.exit(not any(is_ready(int(port)) for port in ports))
