"""docs/security.md: every requirement has its row, and every test that a row names exists."""

import ast
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DOCUMENT = (ROOT / "docs" / "security.md").read_text()
_TEST = re.compile(r"`((?:[\w-]+/)*)(test_\w+)(?:::(test_\w+))?`")
_NUMBER = re.compile(r"\d+\.\d+(?:\.\d+)?")

# OWASP ASVS 5.0: how many requirements of each section have level 1 or 2. Those of level 3 come after them.
SECTIONS = {
    "6.1": 3,
    "6.2": 12,
    "6.3": 4,
    "6.4": 4,
    "6.5": 5,
    "6.6": 3,
    "6.8": 4,
    "7.1": 3,
    "7.2": 4,
    "7.3": 2,
    "7.4": 5,
    "7.5": 2,
    "7.6": 2,
    "8.1": 2,
    "8.2": 3,
    "8.3": 1,
    "8.4": 1,
    "9.1": 3,
    "9.2": 4,
    "10.1": 2,
    "10.2": 2,
    "10.3": 4,
    "10.4": 11,
    "10.5": 5,
    "10.6": 2,
    "10.7": 3,
}
REQUIRED = {f"{section}.{number}" for section, count in SECTIONS.items() for number in range(1, count + 1)}


@dataclass(frozen=True)
class Row:
    """One line of the table of requirements."""

    numbers: str
    how: str
    test: str

    @property
    def requirements(self) -> list[str]:
        """The numbers that this line is about; `10.5` means all of that section, `7.1.1 – 7.1.3` those between, too."""
        found: list[str] = []
        for part in self.numbers.replace(" (3)", "").split(", "):
            first, *last = _NUMBER.findall(part)
            if last:
                section, _, begin = first.rpartition(".")
                end = last[0].rpartition(".")[2]
                found += [f"{section}.{number}" for number in range(int(begin), int(end) + 1)]
            elif first.count(".") == 1:
                found += sorted(number for number in REQUIRED if number.startswith(f"{first}."))
            else:
                found.append(first)
        return found


def _rows() -> list[Row]:
    table = DOCUMENT.split("## 2.")[1].split("## 3.")[0]
    lines = [line.strip("|").split(" | ") for line in table.splitlines() if re.match(r"\| \d", line)]
    assert all(len(cells) == 4 for cells in lines)
    return [Row(cells[0].strip(), cells[2].strip(), cells[3].strip()) for cells in lines]


ROWS = _rows()
NAMED = sorted({match.groups() for match in _TEST.finditer(DOCUMENT)}, key=str)


@cache
def functions_of(path: Path) -> frozenset[str]:
    tree = ast.parse(path.read_text())
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def test_every_requirement_of_levels_one_and_two_has_exactly_one_row() -> None:
    listed = [number for row in ROWS for number in row.requirements]
    assert sorted(set(listed)) == sorted(listed)
    assert set(listed) >= REQUIRED
    # What is in the table besides is of level 3 and says so.
    extra = {number for row in ROWS if "(3)" in row.numbers for number in row.requirements}
    assert set(listed) - REQUIRED == extra


@pytest.mark.parametrize(("folder", "file", "function"), NAMED, ids=lambda part: part or "-")
def test_every_named_test_exists(folder: str, file: str, function: str | None) -> None:
    path = (ROOT / folder if folder else Path(__file__).parent) / f"{file}.py"
    assert path.is_file()
    assert function is None or function in functions_of(path)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.numbers)
def test_what_is_said_to_be_met_names_the_test_that_shows_it(row: Row) -> None:
    functions = [match[3] for match in _TEST.finditer(row.test)]
    if row.how.startswith(("not applicable", "**not met**", "**in part**, without a test")):
        assert row.test == "–" or all(functions)
    else:
        assert functions, row
        assert all(functions), row
