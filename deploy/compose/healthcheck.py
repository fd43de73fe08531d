#!/usr/bin/env python3
"""Exit with 0 if http://127.0.0.1:PORT/readyz answers well; the images have no curl."""

import http.client
import sys

connection = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=3)
try:
    connection.request("GET", "/readyz")
    sys.exit(connection.getresponse().status >= 400)
except OSError:
    sys.exit(1)
