"""Create the tables of packages, subscriptions and entitlements.

Copied from the tables as they were then: a migration never changes when the models do.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

from chassis.sql import BinaryUuid, UtcDateTime

revision = "20261123_2300"
down_revision = None
branch_labels = None
depends_on = None

OPTIONS: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_unicode_520_ci",
}
SHARDS = 16


def upgrade() -> None:
    op.create_table(
        "audit_entries",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("at", UtcDateTime, nullable=False),
        sa.Column("actor_id", BinaryUuid),
        sa.Column("action", sa.String(length=64, collation="ascii_bin"), nullable=False),
        sa.Column("subject_id", BinaryUuid, nullable=False),
        sa.Column("details", sa.Text(), nullable=False),
        sa.Column("request_id", sa.String(length=128, collation="ascii_bin")),
        sa.PrimaryKeyConstraint("id", name="pk_audit_entries"),
        **OPTIONS,
    )
    op.create_index("ix_audit_entries_subject_id_id", "audit_entries", ["subject_id", "id"])
    op.create_table(
        "deleted_users",
        sa.Column("user_id", BinaryUuid, nullable=False),
        sa.Column("deleted_at", UtcDateTime, nullable=False),
        sa.PrimaryKeyConstraint("user_id", name="pk_deleted_users"),
        **OPTIONS,
    )
    op.create_table(
        "entitlements_revisions",
        sa.Column("user_id", BinaryUuid, nullable=False),
        sa.Column("bucket", sa.SmallInteger(), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("user_id", name="pk_entitlements_revisions"),
        **OPTIONS,
    )
    op.create_index(
        "ix_entitlements_revisions_bucket_user_id_revision", "entitlements_revisions", ["bucket", "user_id", "revision"]
    )
    op.create_table(
        "genres",
        sa.Column("id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.String(length=200), nullable=False),
        sa.Column("status", sa.String(length=16, collation="ascii_bin"), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_genres"),
        **OPTIONS,
    )
    op.create_table(
        "idempotency_keys",
        sa.Column("slot", sa.BINARY(length=32), nullable=False),
        sa.Column("fingerprint", sa.BINARY(length=32), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("headers", sa.String(length=2000), nullable=False),
        sa.Column("body", mysql.MEDIUMBLOB(), nullable=False),
        sa.Column("created_at", UtcDateTime, server_default=sa.text("CURRENT_TIMESTAMP(6)"), nullable=False),
        sa.PrimaryKeyConstraint("slot", name="pk_idempotency_keys"),
        **OPTIONS,
    )
    op.create_index("ix_idempotency_keys_created_at", "idempotency_keys", ["created_at"])
    op.create_table(
        "outbox_events",
        sa.Column("id", sa.BigInteger(), nullable=False),
        sa.Column("event_id", BinaryUuid, nullable=False),
        sa.Column("shard", sa.SmallInteger(), nullable=False),
        sa.Column("aggregate", sa.String(length=96, collation="ascii_bin"), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("type", sa.String(length=128, collation="ascii_bin"), nullable=False),
        sa.Column("headers", sa.String(length=1000), nullable=False),
        sa.Column("body", mysql.MEDIUMBLOB(), nullable=False),
        sa.Column("created_at", UtcDateTime, server_default=sa.text("CURRENT_TIMESTAMP(6)"), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("last_error", sa.String(length=300)),
        sa.PrimaryKeyConstraint("id", name="pk_outbox_events"),
        sa.UniqueConstraint("event_id", name="uq_outbox_events_event_id"),
        sa.UniqueConstraint("type", "aggregate", "revision", name="uq_outbox_events_type_aggregate_revision"),
        **OPTIONS,
    )
    op.create_index("ix_outbox_events_shard_id", "outbox_events", ["shard", "id"])
    op.create_table(
        "outbox_shards",
        sa.Column("shard", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("shard", name="pk_outbox_shards"),
        **OPTIONS,
    )
    op.create_table(
        "packages",
        sa.Column("id", BinaryUuid, nullable=False),
        sa.Column("status", sa.String(length=16, collation="ascii_bin"), nullable=False),
        sa.Column("version", sa.Integer(), nullable=False),
        sa.Column("name", sa.String(length=100, collation="utf8mb4_unicode_520_ci"), nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("updated_at", UtcDateTime, nullable=False),
        sa.Column(
            "active_name",
            sa.String(length=100, collation="utf8mb4_unicode_520_ci"),
            sa.Computed("CASE WHEN status = 'active' THEN TRIM(name) END", persisted=True),
        ),
        sa.PrimaryKeyConstraint("id", name="pk_packages"),
        sa.UniqueConstraint("active_name", name="uq_packages_active_name"),
        **OPTIONS,
    )
    op.create_index("ix_packages_created_at", "packages", ["status", "created_at", "id"])
    op.create_index("ix_packages_created_at_desc", "packages", ["status", sa.literal_column("created_at DESC"), "id"])
    op.create_index("ix_packages_name", "packages", ["status", "name", "id"])
    op.create_index("ix_packages_name_desc", "packages", ["status", sa.literal_column("name DESC"), "id"])
    op.create_index("ix_packages_updated_at", "packages", ["status", "updated_at", "id"])
    op.create_index("ix_packages_updated_at_desc", "packages", ["status", sa.literal_column("updated_at DESC"), "id"])
    op.create_table(
        "row_totals",
        sa.Column("name", sa.String(length=64, collation="ascii_bin"), nullable=False),
        sa.Column("shard", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("name", "shard", name="pk_row_totals"),
        **OPTIONS,
    )
    op.create_table(
        "package_versions",
        sa.Column("package_id", BinaryUuid, nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("name", sa.String(length=100, collation="utf8mb4_unicode_520_ci"), nullable=False),
        sa.Column("description", sa.Text()),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("created_by", BinaryUuid, nullable=False),
        sa.ForeignKeyConstraint(["package_id"], ["packages.id"], name="fk_package_versions_package_id_packages"),
        sa.PrimaryKeyConstraint("package_id", "version", name="pk_package_versions"),
        **OPTIONS,
    )
    op.create_table(
        "subscriber_moves",
        sa.Column("id", BinaryUuid, nullable=False),
        sa.Column("package_id", BinaryUuid, nullable=False),
        sa.Column("from_version", sa.Integer(), nullable=False),
        sa.Column("to_version", sa.Integer(), nullable=False),
        sa.Column("moved", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("requested_by", BinaryUuid, nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("progressed_at", UtcDateTime, nullable=False),
        sa.Column("finished_at", UtcDateTime),
        sa.ForeignKeyConstraint(["package_id"], ["packages.id"], name="fk_subscriber_moves_package_id_packages"),
        sa.PrimaryKeyConstraint("id", name="pk_subscriber_moves"),
        **OPTIONS,
    )
    op.create_index(
        "ix_subscriber_moves_finished_at_progressed_at", "subscriber_moves", ["finished_at", "progressed_at"]
    )
    op.create_index("ix_subscriber_moves_package_id", "subscriber_moves", ["package_id"])
    op.create_table(
        "package_version_genres",
        sa.Column("package_id", BinaryUuid, nullable=False),
        sa.Column("version", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("genre_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.ForeignKeyConstraint(["genre_id"], ["genres.id"], name="fk_package_version_genres_genre_id_genres"),
        sa.ForeignKeyConstraint(
            ["package_id", "version"],
            ["package_versions.package_id", "package_versions.version"],
            name="fk_package_version_genres_package_id_package_versions",
        ),
        sa.PrimaryKeyConstraint("package_id", "version", "genre_id", name="pk_package_version_genres"),
        **OPTIONS,
    )
    op.create_index(
        "ix_package_version_genres_genre_id_package_id_version",
        "package_version_genres",
        ["genre_id", "package_id", "version"],
    )
    op.create_table(
        "subscriptions",
        sa.Column("id", BinaryUuid, nullable=False),
        sa.Column("user_id", BinaryUuid, nullable=False),
        sa.Column("package_id", BinaryUuid, nullable=False),
        sa.Column("package_version", sa.Integer(), nullable=False),
        sa.Column("status", sa.String(length=16, collation="ascii_bin"), nullable=False),
        sa.Column("created_at", UtcDateTime, nullable=False),
        sa.Column("created_by", BinaryUuid, nullable=False),
        sa.Column("ends_at", UtcDateTime, nullable=False),
        sa.Column("cancelled_at", UtcDateTime),
        sa.Column(
            "active_package_id",
            BinaryUuid,
            sa.Computed("CASE WHEN status = 'active' THEN package_id END", persisted=True),
        ),
        sa.ForeignKeyConstraint(
            ["package_id", "package_version"],
            ["package_versions.package_id", "package_versions.version"],
            name="fk_subscriptions_package_id_package_versions",
        ),
        sa.PrimaryKeyConstraint("id", name="pk_subscriptions"),
        sa.UniqueConstraint("user_id", "active_package_id", name="uq_subscriptions_user_id_active_package_id"),
        **OPTIONS,
    )
    op.create_index("ix_subscriptions_created_at", "subscriptions", ["status", "created_at", "id"])
    op.create_index(
        "ix_subscriptions_created_at_desc", "subscriptions", ["status", sa.literal_column("created_at DESC"), "id"]
    )
    op.create_index("ix_subscriptions_ends_at", "subscriptions", ["status", "ends_at", "id"])
    op.create_index(
        "ix_subscriptions_ends_at_desc", "subscriptions", ["status", sa.literal_column("ends_at DESC"), "id"]
    )
    op.create_index(
        "ix_subscriptions_package",
        "subscriptions",
        ["package_id", "status", sa.literal_column("created_at DESC"), "id"],
    )
    op.create_index("ix_subscriptions_package_version", "subscriptions", ["package_id", "package_version"])
    op.create_index(
        "ix_subscriptions_subscribers", "subscriptions", ["package_id", "status", "package_version", "user_id"]
    )
    op.create_index("ix_subscriptions_user", "subscriptions", ["user_id", "created_at", "id"])
    # A relay takes a shard by locking its row.
    shards = sa.table("outbox_shards", sa.column("shard"))
    op.bulk_insert(shards, [{"shard": shard} for shard in range(SHARDS)])


def downgrade() -> None:
    for table in (
        "subscriptions",
        "package_version_genres",
        "subscriber_moves",
        "package_versions",
        "row_totals",
        "packages",
        "outbox_shards",
        "outbox_events",
        "idempotency_keys",
        "genres",
        "entitlements_revisions",
        "deleted_users",
        "audit_entries",
    ):
        op.drop_table(table)
