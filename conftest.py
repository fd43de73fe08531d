"""Shared by the tests of all distributions."""

pytest_plugins = ["chassis.testing.fixtures"]
