"""docs/database.md names every table, column, collection, field and index that there is, and nothing else."""

import importlib
import re
from typing import Any

import pytest
from sqlalchemy import MetaData, UniqueConstraint
from tests.deploy.conftest import ROOT

import identity.storage.tables
import subscription.storage.tables

DOCUMENT = (ROOT / "docs/database.md").read_text()
METADATA: dict[str, MetaData] = {
    "identity": identity.storage.tables.metadata,
    "subscription": subscription.storage.tables.metadata,
}


def section(service: str) -> str:
    """What the page says about one database."""
    found = re.search(rf"^## {service} \(.*?\)\n(.*?)(?=^## |\Z)", DOCUMENT, re.MULTILINE | re.DOTALL)
    assert found, f"docs/database.md has no section about {service}"
    return found[1]


def diagram(service: str) -> dict[str, set[str]]:
    """The fields of each entity that the diagram draws."""
    found = re.search(r"```mermaid\n(.*?)```", section(service), re.DOTALL)
    assert found
    entities = re.findall(r"^  (\w+) \{\n(.*?)^  \}", found[1], re.MULTILINE | re.DOTALL)
    return {name: {line.split()[1] for line in body.splitlines()} for name, body in entities}


def rows(service: str, heading: str) -> dict[str, str]:
    """First and last cells of the table under a heading cell."""
    found = re.search(rf"^\| {heading}.*?\|\n\|[ -|]+\|\n((?:\|.*\n)+)", section(service), re.MULTILINE)
    assert found, heading
    cells = [line.strip("| ").split(" | ") for line in found[1].splitlines()]
    assert all(cell[-1] and len(cell) == 2 for cell in cells), "each has a reason"
    return {cell[0]: cell[1] for cell in cells}


@pytest.mark.parametrize("service", METADATA)
def test_tables_and_columns(service: str) -> None:
    tables = METADATA[service].tables
    assert diagram(service) == {name: {column.name for column in table.columns} for name, table in tables.items()}
    assert set(rows(service, "table")) == {f"`{name}`" for name in tables}


@pytest.mark.parametrize("service", METADATA)
def test_relations(service: str) -> None:
    drawn = set(re.findall(r"^  (\w+) \|\|--o\{ (\w+) : ", section(service), re.MULTILINE))
    assert drawn == {
        (key.referred_table.name, table.name)
        for table in METADATA[service].tables.values()
        for key in table.foreign_key_constraints
    }


@pytest.mark.parametrize("service", METADATA)
def test_indexes_and_unique_keys(service: str) -> None:
    wanted = set()
    for table in METADATA[service].tables.values():
        for index in table.indexes:
            columns = [re.sub(r"^\w+\.", "", str(part)) for part in index.expressions]
            wanted.add(f"`{index.name}` ({', '.join(columns)})")
        for key in table.constraints:
            if isinstance(key, UniqueConstraint):
                wanted.add(f"`{key.name}` ({', '.join(column.name for column in key.columns)})")
    assert set(rows(service, "index")) == wanted


def _mongo(service: str) -> tuple[set[str], dict[str, Any], dict[str, Any]]:
    schema = importlib.import_module(f"{service}.storage.schema")
    if service == "catalog":
        return {*schema.COLLECTIONS, "schema"}, schema._VALIDATORS, schema.INDEXES
    validators = {name: validator["$jsonSchema"] for name, validator in schema._VALIDATORS.items()}
    return set(validators), validators, schema._INDEXES


@pytest.mark.parametrize("service", ["catalog", "watch"])
def test_collections_and_validated_fields(service: str) -> None:
    collections, validators, _ = _mongo(service)
    drawn = diagram(service)
    assert set(drawn) == collections
    assert set(rows(service, "collection")) == {f"`{name}`" for name in collections}
    for name, validator in validators.items():
        missing = (set(validator["properties"]) | set(validator["required"])) - drawn[name]
        assert not missing, f"{name}: {missing}"


@pytest.mark.parametrize("service", ["catalog", "watch"])
def test_indexes_of_collections(service: str) -> None:
    _, _, indexes = _mongo(service)
    wanted = set()
    for collection, models in indexes.items():
        for document in (model.document for model in models):
            keys = [key + (" desc" if direction == -1 else "") for key, direction in document["key"].items()]
            wanted.add(f"`{collection}.{document['name']}` ({', '.join(keys)})")
    assert set(rows(service, "index")) == wanted
