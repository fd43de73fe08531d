"""Lets tests import the build script, which is a file beside the Dockerfile and no package."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))
