"""Add the tables that names and genres of packages are searched in.

Copied from the tables as they were then. They begin empty and every package counts as unindexed: processes of the
previous version go on knowing nothing of the search, those of this one look through the packages themselves until
the worker has indexed what is there, and again whenever the previous version has written something.

A server commits each statement, so a run may be cut off after any. Nothing is written to the tables before `packages`
has its columns: until then they are made anew by the next run, from then on there is nothing left to do.
"""

from typing import Any

import sqlalchemy as sa
from alembic import op

from chassis.sql import BinaryUuid

revision = "20261124_0200"
down_revision = "20261123_2300"
branch_labels = None
depends_on = None

OPTIONS: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_unicode_520_ci",
}
TABLES = ("package_search_totals", "package_genres", "package_name_parts")


def upgrade() -> None:
    status = sa.String(length=16, collation="ascii_bin")
    if _has_columns():
        return
    for table in TABLES:
        op.drop_table(table, if_exists=True)
    op.create_table(
        "package_name_parts",
        sa.Column("status", status, nullable=False),
        sa.Column("is_start", sa.Boolean(), nullable=False),
        sa.Column("part", sa.VARBINARY(64), nullable=False),
        sa.Column("package_id", BinaryUuid, nullable=False),
        sa.Column("seen", sa.SmallInteger(), nullable=False),
        sa.ForeignKeyConstraint(["package_id"], ["packages.id"], name="fk_package_name_parts_package_id_packages"),
        sa.PrimaryKeyConstraint("status", "is_start", "part", "package_id", name="pk_package_name_parts"),
        **OPTIONS,
    )
    op.create_index("ix_package_name_parts_package_id", "package_name_parts", ["package_id"])
    op.create_table(
        "package_genres",
        sa.Column("status", status, nullable=False),
        sa.Column("genre_id", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("package_id", BinaryUuid, nullable=False),
        sa.ForeignKeyConstraint(["package_id"], ["packages.id"], name="fk_package_genres_package_id_packages"),
        sa.PrimaryKeyConstraint("status", "genre_id", "package_id", name="pk_package_genres"),
        **OPTIONS,
    )
    op.create_index("ix_package_genres_package_id", "package_genres", ["package_id"])
    op.create_table(
        "package_search_totals",
        sa.Column("status", status, nullable=False),
        sa.Column("term", sa.VARBINARY(512), nullable=False),
        sa.Column("shard", sa.SmallInteger(), autoincrement=False, nullable=False),
        sa.Column("total", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("status", "term", "shard", name="pk_package_search_totals"),
        **OPTIONS,
    )
    # One statement, so that the table is rebuilt once.
    op.execute(
        "ALTER TABLE packages "
        "ADD COLUMN indexed_version INTEGER NOT NULL DEFAULT 0, "
        "ADD COLUMN indexed_status VARCHAR(16) COLLATE ascii_bin NOT NULL DEFAULT '', "
        "ADD COLUMN is_unindexed SMALLINT GENERATED ALWAYS AS "
        "(CASE WHEN indexed_version <> version OR indexed_status <> status THEN 1 END) STORED, "
        "ADD INDEX ix_packages_is_unindexed_id (is_unindexed, id)"
    )


def downgrade() -> None:
    for table in TABLES:
        op.drop_table(table, if_exists=True)
    if _has_columns():
        op.execute(
            "ALTER TABLE packages DROP INDEX ix_packages_is_unindexed_id, "
            "DROP COLUMN is_unindexed, DROP COLUMN indexed_status, DROP COLUMN indexed_version"
        )


def _has_columns() -> bool:
    columns = sa.inspect(op.get_bind()).get_columns("packages")
    return any(column["name"] == "is_unindexed" for column in columns)
