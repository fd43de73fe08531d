"""Backups of the suite's databases, in place of mysqldump and mongodump, which not every machine of a developer has.

Names of tables and columns come from the database itself.
"""

from collections.abc import Mapping
from typing import Any

from pymongo import MongoClient
from sqlalchemy import NullPool, create_engine, text
from sqlalchemy.engine import Connection

from chassis.sql import driver_url

_AT_ONCE = 500


class SqlSnapshot:
    """All rows of a database at one moment; its tables and their generated columns stay as they are."""

    def __init__(self, database_url: str) -> None:
        self._engine = create_engine(driver_url(database_url, "pymysql"), poolclass=NullPool)
        with self._engine.connect() as connection:
            # As `mysqldump --single-transaction` reads: one snapshot for all tables.
            connection.execute(text("SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ"))
            connection.execute(text("START TRANSACTION WITH CONSISTENT SNAPSHOT"))
            self._rows = {table: self._read(connection, table) for table in self._tables(connection)}
            connection.rollback()

    @staticmethod
    def _tables(connection: Connection) -> list[str]:
        return list(connection.execute(text("SHOW FULL TABLES WHERE Table_type = 'BASE TABLE'")).scalars())

    @staticmethod
    def _read(connection: Connection, table: str) -> list[Mapping[str, Any]]:
        found = connection.execute(text(f"SHOW COLUMNS FROM `{table}`")).mappings()
        columns = ", ".join(f"`{row['Field']}`" for row in found if "GENERATED" not in row["Extra"].split())
        found = connection.execute(text(f"SELECT {columns} FROM `{table}`")).mappings()  # noqa: S608
        return [dict(row) for row in found]

    def restore(self) -> None:
        """Put every table back to this moment. Nobody else may be writing."""
        with self._engine.begin() as connection:
            connection.execute(text("SET SESSION foreign_key_checks = 0"))
            for table, rows in self._rows.items():
                connection.execute(text(f"DELETE FROM `{table}`"))  # noqa: S608
                if rows:
                    names = ", ".join(f"`{name}`" for name in rows[0])
                    values = ", ".join(f":{name}" for name in rows[0])
                    statement = f"INSERT INTO `{table}` ({names}) VALUES ({values})"  # noqa: S608
                    connection.execute(text(statement), rows)


class MongoSnapshot:
    """All documents of a database; collections, validators and indexes stay as they are."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        with MongoClient[dict[str, Any]](database_url) as client:
            database = client.get_default_database()
            self._documents = {name: list(database[name].find()) for name in database.list_collection_names()}

    def restore(self) -> None:
        """Put every collection back to this moment. Nobody else may be writing."""
        with MongoClient[dict[str, Any]](self._url) as client:
            database = client.get_default_database()
            for name, documents in self._documents.items():
                database[name].delete_many({})
                for first in range(0, len(documents), _AT_ONCE):
                    database[name].insert_many(documents[first : first + _AT_ONCE])
