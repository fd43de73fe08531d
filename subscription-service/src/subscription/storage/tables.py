"""The tables of subscription-service.

Uniqueness that holds only for active rows is a unique key over a stored generated column that is NULL for the
others: both MySQL 8.4 and MariaDB 10.11 allow any number of NULLs there, and only MySQL has functional indexes.
"""

from datetime import UTC, datetime

from sqlalchemy import (
    VARBINARY,
    BigInteger,
    Boolean,
    Column,
    Computed,
    ForeignKey,
    ForeignKeyConstraint,
    Index,
    Integer,
    PrimaryKeyConstraint,
    SmallInteger,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from chassis.events.sql_outbox import SqlOutbox
from chassis.idempotency import idempotency_table
from chassis.sql import TABLE_OPTIONS, BinaryUuid, UtcDateTime, new_metadata

metadata = new_metadata()

# Compares without regard to case, accents and (PAD SPACE) trailing spaces; the same weights in both servers.
NAME_COLLATION = "utf8mb4_unicode_520_ci"
_STATUS = String(16, collation="ascii_bin")
# `ends_at` of what never expires: it sorts after everything that does, and `ends_at > now` needs no look at NULL.
NEVER = datetime.max.replace(tzinfo=UTC)

genres = Table(
    "genres",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("name", String(200), nullable=False),
    Column("status", _STATUS, nullable=False),
    # The revision of the last event applied; 0 while only the catalog's answers to a check have told of it.
    Column("revision", BigInteger, nullable=False),
    **TABLE_OPTIONS,
)

packages = Table(
    "packages",
    metadata,
    Column("id", BinaryUuid, primary_key=True),
    Column("status", _STATUS, nullable=False),
    Column("version", Integer, nullable=False),
    Column("name", String(100, collation=NAME_COLLATION), nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("updated_at", UtcDateTime, nullable=False),
    Column(
        "active_name",
        String(100, collation=NAME_COLLATION),
        Computed("CASE WHEN status = 'active' THEN TRIM(name) END", persisted=True),
    ),
    # The version and status that the tables of the search (below) tell of. Whoever knows nothing of the search leaves
    # them as they are, so what it has written is found by `is_unindexed`, which is NULL for all others.
    Column("indexed_version", Integer, nullable=False, server_default=text("0")),
    Column("indexed_status", _STATUS, nullable=False, server_default=text("''")),
    Column(
        "is_unindexed",
        SmallInteger,
        Computed("CASE WHEN indexed_version <> version OR indexed_status <> status THEN 1 END", persisted=True),
    ),
    UniqueConstraint("active_name"),
    Index(None, "is_unindexed", "id"),
    **TABLE_OPTIONS,
)
for _key in ("name", "created_at", "updated_at"):
    # Two per sort key, because every order ends in the ascending id and an index read backwards would not.
    Index(f"ix_packages_{_key}", packages.c.status, packages.c[_key], packages.c.id)
    Index(f"ix_packages_{_key}_desc", packages.c.status, packages.c[_key].desc(), packages.c.id)

package_versions = Table(
    "package_versions",
    metadata,
    Column("package_id", BinaryUuid, ForeignKey("packages.id"), nullable=False),
    Column("version", Integer, nullable=False, autoincrement=False),
    Column("name", String(100, collation=NAME_COLLATION), nullable=False),
    Column("description", Text),
    Column("created_at", UtcDateTime, nullable=False),
    Column("created_by", BinaryUuid, nullable=False),
    PrimaryKeyConstraint("package_id", "version"),
    **TABLE_OPTIONS,
)

package_version_genres = Table(
    "package_version_genres",
    metadata,
    Column("package_id", BinaryUuid, nullable=False),
    Column("version", Integer, nullable=False, autoincrement=False),
    Column("genre_id", Integer, ForeignKey("genres.id"), nullable=False, autoincrement=False),
    PrimaryKeyConstraint("package_id", "version", "genre_id"),
    ForeignKeyConstraint(["package_id", "version"], ["package_versions.package_id", "package_versions.version"]),
    Index(None, "genre_id", "package_id", "version"),
    **TABLE_OPTIONS,
)

# The search: where names and genres of newest versions are found. The status comes first, as in every list.
package_name_parts = Table(
    "package_name_parts",
    metadata,
    Column("status", _STATUS, nullable=False),
    Column("is_start", Boolean, nullable=False),
    # The name from one of its characters on, as the collation sees it (`name_parts`).
    Column("part", VARBINARY(64), nullable=False),
    Column("package_id", BinaryUuid, ForeignKey("packages.id"), nullable=False),
    # So many bytes of the part also begin at an earlier character: a shorter text is not counted twice.
    Column("seen", SmallInteger, nullable=False),
    PrimaryKeyConstraint("status", "is_start", "part", "package_id"),
    Index(None, "package_id"),
    **TABLE_OPTIONS,
)

package_genres = Table(
    "package_genres",
    metadata,
    Column("status", _STATUS, nullable=False),
    Column("genre_id", Integer, nullable=False, autoincrement=False),
    Column("package_id", BinaryUuid, ForeignKey("packages.id"), nullable=False),
    PrimaryKeyConstraint("status", "genre_id", "package_id"),
    Index(None, "package_id"),
    **TABLE_OPTIONS,
)

# How many packages have a genre, just these genres, or a short text in their name, which may be nearly all: kept like
# `row_totals`.
package_search_totals = Table(
    "package_search_totals",
    metadata,
    Column("status", _STATUS, nullable=False),
    Column("term", VARBINARY(512), nullable=False),
    Column("shard", SmallInteger, nullable=False, autoincrement=False),
    Column("total", BigInteger, nullable=False),
    PrimaryKeyConstraint("status", "term", "shard"),
    **TABLE_OPTIONS,
)

subscriptions = Table(
    "subscriptions",
    metadata,
    Column("id", BinaryUuid, primary_key=True),
    Column("user_id", BinaryUuid, nullable=False),
    Column("package_id", BinaryUuid, nullable=False),
    Column("package_version", Integer, nullable=False),
    Column("status", _STATUS, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    Column("created_by", BinaryUuid, nullable=False),
    Column("ends_at", UtcDateTime, nullable=False),
    Column("cancelled_at", UtcDateTime),
    Column(
        "active_package_id",
        BinaryUuid,
        Computed("CASE WHEN status = 'active' THEN package_id END", persisted=True),
    ),
    UniqueConstraint("user_id", "active_package_id"),
    ForeignKeyConstraint(
        ["package_id", "package_version"], ["package_versions.package_id", "package_versions.version"]
    ),
    Index("ix_subscriptions_package_version", "package_id", "package_version"),
    Index("ix_subscriptions_user", "user_id", "created_at", "id"),
    # Counts and moves of a package's subscribers, version by version and sorted by user.
    Index("ix_subscriptions_subscribers", "package_id", "status", "package_version", "user_id"),
    **TABLE_OPTIONS,
)
for _key in ("created_at", "ends_at"):
    Index(f"ix_subscriptions_{_key}", subscriptions.c.status, subscriptions.c[_key], subscriptions.c.id)
    Index(f"ix_subscriptions_{_key}_desc", subscriptions.c.status, subscriptions.c[_key].desc(), subscriptions.c.id)
Index(
    "ix_subscriptions_package",
    subscriptions.c.package_id,
    subscriptions.c.status,
    subscriptions.c.created_at.desc(),
    subscriptions.c.id,
)

entitlements_revisions = Table(
    "entitlements_revisions",
    metadata,
    Column("user_id", BinaryUuid, primary_key=True),
    Column("bucket", SmallInteger, nullable=False),
    Column("revision", BigInteger, nullable=False),
    Index(None, "bucket", "user_id", "revision"),
    **TABLE_OPTIONS,
)

deleted_users = Table(
    "deleted_users",
    metadata,
    Column("user_id", BinaryUuid, primary_key=True),
    Column("deleted_at", UtcDateTime, nullable=False),
    **TABLE_OPTIONS,
)

subscriber_moves = Table(
    "subscriber_moves",
    metadata,
    Column("id", BinaryUuid, primary_key=True),
    Column("package_id", BinaryUuid, ForeignKey("packages.id"), nullable=False),
    Column("from_version", Integer, nullable=False),
    Column("to_version", Integer, nullable=False),
    Column("moved", Integer, nullable=False, server_default=text("0")),
    Column("requested_by", BinaryUuid, nullable=False),
    Column("created_at", UtcDateTime, nullable=False),
    # When a batch was last moved: the worker takes over what has not moved for a while.
    Column("progressed_at", UtcDateTime, nullable=False),
    Column("finished_at", UtcDateTime),
    Index(None, "package_id"),
    Index(None, "finished_at", "progressed_at"),
    **TABLE_OPTIONS,
)

# COUNT(*) of a million rows takes longer than the page it belongs to, so totals are kept with every change.
row_totals = Table(
    "row_totals",
    metadata,
    Column("name", String(64, collation="ascii_bin"), nullable=False),
    # Many writers add to one total; each picks a shard, and the total is their sum.
    Column("shard", SmallInteger, nullable=False, autoincrement=False),
    Column("total", BigInteger, nullable=False),
    PrimaryKeyConstraint("name", "shard"),
    **TABLE_OPTIONS,
)

audit_entries = Table(
    "audit_entries",
    metadata,
    Column("id", BigInteger, primary_key=True, autoincrement=True),
    Column("at", UtcDateTime, nullable=False),
    Column("actor_id", BinaryUuid),
    Column("action", String(64, collation="ascii_bin"), nullable=False),
    Column("subject_id", BinaryUuid, nullable=False),
    Column("details", Text, nullable=False),
    Column("request_id", String(128, collation="ascii_bin")),
    Index(None, "subject_id", "id"),
    **TABLE_OPTIONS,
)

idempotency_keys = idempotency_table(metadata)
outbox = SqlOutbox(metadata)
