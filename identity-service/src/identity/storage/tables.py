"""The tables of the identity database."""

from sqlalchemy import BINARY, BigInteger, Column, ForeignKey, Index, Integer, String, Table, text
from sqlalchemy.dialects.mysql import VARBINARY, VARCHAR

from chassis.events.sql_outbox import SqlOutbox
from chassis.idempotency import idempotency_table
from chassis.sql import TABLE_OPTIONS, BinaryUuid, UtcDateTime, new_metadata

metadata = new_metadata()
outbox = SqlOutbox(metadata)
idempotency_keys = idempotency_table(metadata)

_NOW = text("CURRENT_TIMESTAMP(6)")


def _ascii(length: int) -> VARCHAR:
    """Text that is compared byte by byte: no collation makes two different values equal."""
    return VARCHAR(length, charset="ascii", collation="ascii_bin")


def _owner() -> Column[object]:
    return Column("user_id", BinaryUuid, ForeignKey("users.id", ondelete="CASCADE"), nullable=False, index=True)


users = Table(
    "users",
    metadata,
    Column("id", BinaryUuid, primary_key=True),
    Column("email", _ascii(254), nullable=False, unique=True),
    Column("name", String(100), nullable=False, index=True),
    Column("role", _ascii(16), nullable=False),
    Column("status", _ascii(16), nullable=False),
    Column("password_hash", _ascii(120), nullable=False),
    Column("token_version", Integer, nullable=False, server_default=text("1")),
    Column("revision", BigInteger, nullable=False, server_default=text("0")),
    Column("tokens_revoked_at", UtcDateTime, index=True),
    Column("created_at", UtcDateTime, nullable=False, server_default=_NOW, index=True),
    Column("updated_at", UtcDateTime, nullable=False, server_default=_NOW),
    Index(None, "role", "status"),
    **TABLE_OPTIONS,
)

# What is left of a deleted user: enough to refuse the last tokens and never to use the id again.
deleted_users = Table(
    "deleted_users",
    metadata,
    Column("id", BinaryUuid, primary_key=True),
    Column("revision", BigInteger, nullable=False),
    Column("deleted_at", UtcDateTime, nullable=False, server_default=_NOW, index=True),
    **TABLE_OPTIONS,
)

sessions = Table(
    "sessions",
    metadata,
    Column("id", BinaryUuid, primary_key=True),
    _owner(),
    Column("created_at", UtcDateTime, nullable=False),
    Column("last_used_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False, index=True),
    Column("access_expires_at", UtcDateTime, nullable=False),
    Column("revoked_at", UtcDateTime, index=True),
    Column("user_agent", String(255)),
    Column("ip", _ascii(45), nullable=False),
    **TABLE_OPTIONS,
)

refresh_tokens = Table(
    "refresh_tokens",
    metadata,
    Column("hash", BINARY(32), primary_key=True),
    Column("session_id", BinaryUuid, ForeignKey("sessions.id", ondelete="CASCADE"), nullable=False),
    Column("parent", BINARY(32), index=True),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False),
    Column("used_at", UtcDateTime),
    Index(None, "session_id", "created_at"),
    **TABLE_OPTIONS,
)

reset_tokens = Table(
    "reset_tokens",
    metadata,
    Column("hash", BINARY(32), primary_key=True),
    _owner(),
    Column("created_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False, index=True),
    Column("used_at", UtcDateTime),
    **TABLE_OPTIONS,
)

# Mails to be written and sent. No token is in here: a reset token is made when its mail is written.
mail_jobs = Table(
    "mail_jobs",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    Column("kind", _ascii(32), nullable=False),
    Column("email", _ascii(254), nullable=False, index=True),
    Column("attempts", Integer, nullable=False, server_default=text("0")),
    Column("due_at", UtcDateTime, nullable=False, server_default=_NOW, index=True),
    Column("created_at", UtcDateTime, nullable=False, server_default=_NOW),
    **TABLE_OPTIONS,
)

rate_counters = Table(
    "rate_counters",
    metadata,
    Column("slot", BINARY(32), primary_key=True),
    Column("hits", Integer, nullable=False),
    Column("started_at", UtcDateTime, nullable=False),
    Column("expires_at", UtcDateTime, nullable=False, index=True),
    **TABLE_OPTIONS,
)

# Keyed hashes instead of addresses: the table says nothing about who tried to log in where.
login_attempts = Table(
    "login_attempts",
    metadata,
    Column("account", BINARY(32), primary_key=True),
    Column("address", BINARY(32), primary_key=True),
    Column("failures", Integer, nullable=False, server_default=text("0")),
    Column("pending", Integer, nullable=False, server_default=text("0")),
    Column("last_failure_at", UtcDateTime),
    Column("pending_since", UtcDateTime),
    Column("succeeded_at", UtcDateTime),
    Column("updated_at", UtcDateTime, nullable=False, server_default=_NOW, index=True),
    **TABLE_OPTIONS,
)

audit_events = Table(
    "audit_events",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    Column("at", UtcDateTime, nullable=False, server_default=_NOW, index=True),
    Column("action", _ascii(32), nullable=False),
    Column("result", _ascii(16), nullable=False),
    Column("actor_id", BinaryUuid),
    Column("subject_id", BinaryUuid),
    Column("ip", _ascii(45)),
    Column("request_id", _ascii(128)),
    Column("detail", String(200)),
    Index(None, "subject_id", "id"),
    **TABLE_OPTIONS,
)

signing_keys = Table(
    "signing_keys",
    metadata,
    Column("kid", _ascii(43), primary_key=True),
    Column("number", Integer, nullable=False, unique=True, autoincrement=False),
    Column("public_jwk", _ascii(400), nullable=False),
    Column("private_key", VARBINARY(512), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("activates_at", UtcDateTime, nullable=False),
    Column("removes_at", UtcDateTime),
    **TABLE_OPTIONS,
)
