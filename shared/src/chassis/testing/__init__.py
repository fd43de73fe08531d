"""Helpers for the tests of all distributions; never imported by a running process."""
