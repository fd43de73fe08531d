"""Shared by the tests of all distributions."""

# The folder of this distribution has the name of its package: imported first, so that pytest does not take the
# folder for the package when it names the test modules after their paths.
import gateway  # noqa: F401

pytest_plugins = ["chassis.testing.fixtures"]
