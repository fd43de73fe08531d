"""Benchmarks: `python -m bench.<name>`; see harness.py for how things are measured."""
