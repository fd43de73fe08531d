"""create identity tables"""

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "20261123_2300"
down_revision = None
branch_labels = None
depends_on = None

OPTIONS: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_unicode_520_ci",
}
_SHARDS = 16


def upgrade() -> None:
    op.create_table(
        "audit_events",
        sa.Column("id", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("at", mysql.DATETIME(fsp=6), server_default=sa.text("CURRENT_TIMESTAMP(6)"), nullable=False),
        sa.Column("action", mysql.VARCHAR(charset="ascii", collation="ascii_bin", length=32), nullable=False),
        sa.Column("result", mysql.VARCHAR(charset="ascii", collation="ascii_bin", length=16), nullable=False),
        sa.Column("actor_id", sa.BINARY(length=16), nullable=True),
        sa.Column("subject_id", sa.BINARY(length=16), nullable=True),
        sa.Column("ip", mysql.VARCHAR(charset="ascii", collation="ascii_bin", length=45), nullable=True),
        sa.Column("request_id", mysql.VARCHAR(charset="ascii", collation="ascii_bin", length=128), nullable=True),
        sa.Column("detail", sa.String(length=200), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_audit_events")),
        **OPTIONS,
    )
    op.create_index(op.f("ix_audit_events_at"), "audit_events", ["at"], unique=False)
    op.create_index(op.f("ix_audit_events_subject_id_id"), "audit_events", ["subject_id", "id"], unique=False)
    op.create_table(
        "deleted_users",
        sa.Column("id", sa.BINARY(length=16), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("deleted_at", mysql.DATETIME(fsp=6), server_default=sa.text("CURRENT_TIMESTAMP(6)"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_deleted_users")),
        **OPTIONS,
    )
    op.create_index(op.f("ix_deleted_users_deleted_at"), "deleted_users", ["deleted_at"], unique=False)
    op.create_table(
        "idempotency_keys",
        sa.Column("slot", sa.BINARY(length=32), nullable=False),
        sa.Column("fingerprint", sa.BINARY(length=32), nullable=False),
        sa.Column("status", sa.SmallInteger(), nullable=False),
        sa.Column("headers", sa.String(length=2000), nullable=False),
        sa.Column("body", mysql.MEDIUMBLOB(), nullable=False),
        sa.Column("created_at", mysql.DATETIME(fsp=6), server_default=sa.text("CURRENT_TIMESTAMP(6)"), nullable=False),
        sa.PrimaryKeyConstraint("slot", name=op.f("pk_idempotency_keys")),
        **OPTIONS,
    )
    op.create_index(op.f("ix_idempotency_keys_created_at"), "idempotency_keys", ["created_at"], unique=False)
    op.create_table(
        "login_attempts",
        sa.Column("account", sa.BINARY(length=32), nullable=False),
        sa.Column("address", sa.BINARY(length=32), nullable=False),
        sa.Column("failures", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("pending", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("last_failure_at", mysql.DATETIME(fsp=6), nullable=True),
        sa.Column("pending_since", mysql.DATETIME(fsp=6), nullable=True),
        sa.Column("succeeded_at", mysql.DATETIME(fsp=6), nullable=True),
        sa.Column("updated_at", mysql.DATETIME(fsp=6), server_default=sa.text("CURRENT_TIMESTAMP(6)"), nullable=False),
        sa.PrimaryKeyConstraint("account", "address", name=op.f("pk_login_attempts")),
        **OPTIONS,
    )
    op.create_index(op.f("ix_login_attempts_updated_at"), "login_attempts", ["updated_at"], unique=False)
    op.create_table(
        "mail_jobs",
        sa.Column("id", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("kind", mysql.VARCHAR(charset="ascii", collation="ascii_bin", length=32), nullable=False),
        sa.Column("email", mysql.VARCHAR(charset="ascii", collation="ascii_bin", length=254), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("due_at", mysql.DATETIME(fsp=6), server_default=sa.text("CURRENT_TIMESTAMP(6)"), nullable=False),
        sa.Column("created_at", mysql.DATETIME(fsp=6), server_default=sa.text("CURRENT_TIMESTAMP(6)"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_mail_jobs")),
        **OPTIONS,
    )
    op.create_index(op.f("ix_mail_jobs_due_at"), "mail_jobs", ["due_at"], unique=False)
    op.create_index(op.f("ix_mail_jobs_email"), "mail_jobs", ["email"], unique=False)
    op.create_table(
        "outbox_events",
        sa.Column("id", sa.BigInteger(), autoincrement=True, nullable=False),
        sa.Column("event_id", sa.BINARY(length=16), nullable=False),
        sa.Column("shard", sa.SmallInteger(), nullable=False),
        sa.Column("aggregate", sa.String(length=96, collation="ascii_bin"), nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.Column("type", sa.String(length=128, collation="ascii_bin"), nullable=False),
        sa.Column("headers", sa.String(length=1000), nullable=False),
        sa.Column("body", mysql.MEDIUMBLOB(), nullable=False),
        sa.Column("created_at", mysql.DATETIME(fsp=6), server_default=sa.text("CURRENT_TIMESTAMP(6)"), nullable=False),
        sa.Column("attempts", sa.Integer(), server_default=sa.text("0"), nullable=False),
        sa.Column("last_error", sa.String(length=300), nullable=True),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_outbox_events")),
        sa.UniqueConstraint("event_id", name=op.f("uq_outbox_events_event_id")),
        sa.UniqueConstraint("type", "aggregate", "revision", name=op.f("uq_outbox_events_type_aggregate_revision")),
        **OPTIONS,
    )
    op.create_index(op.f("ix_outbox_events_shard_id"), "outbox_events", ["shard", "id"], unique=False)
    op.create_table(
        "outbox_shards",
        sa.Column("shard", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("shard", name=op.f("pk_outbox_shards")),
        **OPTIONS,
    )
    op.create_table(
        "rate_counters",
        sa.Column("slot", sa.BINARY(length=32), nullable=False),
        sa.Column("hits", sa.Integer(), nullable=False),
        sa.Column("started_at", mysql.DATETIME(fsp=6), nullable=False),
        sa.Column("expires_at", mysql.DATETIME(fsp=6), nullable=False),
        sa.PrimaryKeyConstraint("slot", name=op.f("pk_rate_counters")),
        **OPTIONS,
    )
    op.create_index(op.f("ix_rate_counters_expires_at"), "rate_counters", ["expires_at"], unique=False)
    op.create_table(
        "signing_keys",
        sa.Column("kid", mysql.VARCHAR(charset="ascii", collation="ascii_bin", length=43), nullable=False),
        sa.Column("number", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("public_jwk", mysql.VARCHAR(charset="ascii", collation="ascii_bin", length=400), nullable=False),
        sa.Column("private_key", sa.VARBINARY(length=512), nullable=False),
        sa.Column("created_at", mysql.DATETIME(fsp=6), nullable=False),
        sa.Column("activates_at", mysql.DATETIME(fsp=6), nullable=False),
        sa.Column("removes_at", mysql.DATETIME(fsp=6), nullable=True),
        sa.PrimaryKeyConstraint("kid", name=op.f("pk_signing_keys")),
        sa.UniqueConstraint("number", name=op.f("uq_signing_keys_number")),
        **OPTIONS,
    )
    op.create_table(
        "users",
        sa.Column("id", sa.BINARY(length=16), nullable=False),
        sa.Column("email", mysql.VARCHAR(charset="ascii", collation="ascii_bin", length=254), nullable=False),
        sa.Column("name", sa.String(length=100), nullable=False),
        sa.Column("role", mysql.VARCHAR(charset="ascii", collation="ascii_bin", length=16), nullable=False),
        sa.Column("status", mysql.VARCHAR(charset="ascii", collation="ascii_bin", length=16), nullable=False),
        sa.Column("password_hash", mysql.VARCHAR(charset="ascii", collation="ascii_bin", length=120), nullable=False),
        sa.Column("token_version", sa.Integer(), server_default=sa.text("1"), nullable=False),
        sa.Column("revision", sa.BigInteger(), server_default=sa.text("0"), nullable=False),
        sa.Column("tokens_revoked_at", mysql.DATETIME(fsp=6), nullable=True),
        sa.Column("created_at", mysql.DATETIME(fsp=6), server_default=sa.text("CURRENT_TIMESTAMP(6)"), nullable=False),
        sa.Column("updated_at", mysql.DATETIME(fsp=6), server_default=sa.text("CURRENT_TIMESTAMP(6)"), nullable=False),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_users")),
        sa.UniqueConstraint("email", name=op.f("uq_users_email")),
        **OPTIONS,
    )
    op.create_index(op.f("ix_users_created_at"), "users", ["created_at"], unique=False)
    op.create_index(op.f("ix_users_name"), "users", ["name"], unique=False)
    op.create_index(op.f("ix_users_role_status"), "users", ["role", "status"], unique=False)
    op.create_index(op.f("ix_users_tokens_revoked_at"), "users", ["tokens_revoked_at"], unique=False)
    op.create_table(
        "reset_tokens",
        sa.Column("hash", sa.BINARY(length=32), nullable=False),
        sa.Column("user_id", sa.BINARY(length=16), nullable=False),
        sa.Column("created_at", mysql.DATETIME(fsp=6), nullable=False),
        sa.Column("expires_at", mysql.DATETIME(fsp=6), nullable=False),
        sa.Column("used_at", mysql.DATETIME(fsp=6), nullable=True),
        sa.ForeignKeyConstraint(
            ["user_id"], ["users.id"], name=op.f("fk_reset_tokens_user_id_users"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_reset_tokens")),
        **OPTIONS,
    )
    op.create_index(op.f("ix_reset_tokens_expires_at"), "reset_tokens", ["expires_at"], unique=False)
    op.create_index(op.f("ix_reset_tokens_user_id"), "reset_tokens", ["user_id"], unique=False)
    op.create_table(
        "sessions",
        sa.Column("id", sa.BINARY(length=16), nullable=False),
        sa.Column("user_id", sa.BINARY(length=16), nullable=False),
        sa.Column("created_at", mysql.DATETIME(fsp=6), nullable=False),
        sa.Column("last_used_at", mysql.DATETIME(fsp=6), nullable=False),
        sa.Column("expires_at", mysql.DATETIME(fsp=6), nullable=False),
        sa.Column("access_expires_at", mysql.DATETIME(fsp=6), nullable=False),
        sa.Column("revoked_at", mysql.DATETIME(fsp=6), nullable=True),
        sa.Column("user_agent", sa.String(length=255), nullable=True),
        sa.Column("ip", mysql.VARCHAR(charset="ascii", collation="ascii_bin", length=45), nullable=False),
        sa.ForeignKeyConstraint(["user_id"], ["users.id"], name=op.f("fk_sessions_user_id_users"), ondelete="CASCADE"),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_sessions")),
        **OPTIONS,
    )
    op.create_index(op.f("ix_sessions_expires_at"), "sessions", ["expires_at"], unique=False)
    op.create_index(op.f("ix_sessions_revoked_at"), "sessions", ["revoked_at"], unique=False)
    op.create_index(op.f("ix_sessions_user_id"), "sessions", ["user_id"], unique=False)
    op.create_table(
        "refresh_tokens",
        sa.Column("hash", sa.BINARY(length=32), nullable=False),
        sa.Column("session_id", sa.BINARY(length=16), nullable=False),
        sa.Column("parent", sa.BINARY(length=32), nullable=True),
        sa.Column("created_at", mysql.DATETIME(fsp=6), nullable=False),
        sa.Column("expires_at", mysql.DATETIME(fsp=6), nullable=False),
        sa.Column("used_at", mysql.DATETIME(fsp=6), nullable=True),
        sa.ForeignKeyConstraint(
            ["session_id"], ["sessions.id"], name=op.f("fk_refresh_tokens_session_id_sessions"), ondelete="CASCADE"
        ),
        sa.PrimaryKeyConstraint("hash", name=op.f("pk_refresh_tokens")),
        **OPTIONS,
    )
    op.create_index(op.f("ix_refresh_tokens_parent"), "refresh_tokens", ["parent"], unique=False)
    op.create_index(
        op.f("ix_refresh_tokens_session_id_created_at"), "refresh_tokens", ["session_id", "created_at"], unique=False
    )
    shards = sa.table("outbox_shards", sa.column("shard", sa.SmallInteger))
    op.bulk_insert(shards, [{"shard": shard} for shard in range(_SHARDS)])


def downgrade() -> None:
    op.drop_table("refresh_tokens")
    op.drop_table("sessions")
    op.drop_table("reset_tokens")
    op.drop_table("users")
    op.drop_table("signing_keys")
    op.drop_table("rate_counters")
    op.drop_table("outbox_shards")
    op.drop_table("outbox_events")
    op.drop_table("mail_jobs")
    op.drop_table("login_attempts")
    op.drop_table("idempotency_keys")
    op.drop_table("deleted_users")
    op.drop_table("audit_events")
