"""Shared by the tests of all distributions."""

from hypothesis import HealthCheck, settings

# The folder of this distribution has the name of its package: imported first, so that pytest does not take the
# folder for the package when it names the test modules after their paths.
import gateway  # noqa: F401

pytest_plugins = ["chassis.testing.fixtures"]

# How long an example takes says something about the machine, not about the code; and our fixtures are shared by the
# examples of a test on purpose.
settings.register_profile(
    "suite", deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture]
)
settings.load_profile("suite")
