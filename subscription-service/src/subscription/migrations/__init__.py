"""Schema changes, oldest first; each is safe beside the previous version of the code."""

from pathlib import Path

SCRIPTS = Path(__file__).parent
