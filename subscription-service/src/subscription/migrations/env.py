"""Entry point of alembic."""

from alembic import context

from chassis.migrations import run_environment
from subscription.storage.tables import metadata

run_environment(context, metadata)  # type: ignore[arg-type]
