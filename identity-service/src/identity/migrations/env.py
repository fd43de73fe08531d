"""Runs the migrations of the identity database."""

from alembic import context

from chassis.migrations import run_environment
from identity.storage.tables import metadata

run_environment(context, metadata)  # type: ignore[arg-type]  # the module stands for the present EnvironmentContext
