"""Pages of a list that is made of branches, each of which an index holds in the order asked for.

A status is the first column of every list index. A list over several statuses is therefore the merge of the
first rows of each, instead of a sort of all rows; the rows themselves are fetched for one page only.
"""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import ColumnElement, Select, Subquery, Table, select, union_all
from sqlalchemy.sql.selectable import FromClause

from chassis.pagination import PageRequest


def branch(  # noqa: PLR0913 - the parts of a statement
    table: Table,
    key: str,
    descending: bool,
    conditions: Sequence[ColumnElement[bool]],
    index: str,
    among: Select[Any] | None = None,
) -> Select[Any]:
    """One ordered branch: the ids of `table` under `conditions`, sorted by (`key`, id ascending).

    `index` is forced: with a stale estimate the optimiser walks the wrong one, which costs a million rows. `among`
    gives the few ids that need to be looked at, where the index finds rows by their id.
    """
    statement = select(table.c.id, table.c[key].label("sort_key")).where(*conditions)
    if among is not None:
        few = among.distinct().subquery("few")
        # In this order of tables: for a small table the optimiser would rather read all of it.
        statement = statement.select_from(few.join(table, few.c[0] == table.c.id)).prefix_with("STRAIGHT_JOIN")
    return statement.order_by(*_order(table, key, descending)).with_hint(table, f"FORCE INDEX ({index})", "mysql")


def _order(source: FromClause, key: str, descending: bool) -> tuple[ColumnElement[Any], ColumnElement[Any]]:
    column = source.c[key]
    return (column.desc() if descending else column.asc()), source.c.id.asc()


def page_of(branches: Sequence[Select[Any]], descending: bool, page: PageRequest) -> Subquery:
    """The ids on `page` of the merged branches, as a table with the columns `id` and `sort_key`."""
    if len(branches) == 1:
        return branches[0].limit(page.size).offset(page.offset).subquery("page")
    merged = union_all(*(one.limit(page.offset + page.size) for one in branches)).subquery("merged")
    return (
        select(merged.c.id, merged.c.sort_key)
        .order_by(*_order(merged, "sort_key", descending))
        .limit(page.size)
        .offset(page.offset)
        .subquery("page")
    )


def in_page_order(statement: Select[Any], page: Subquery, table: Table, descending: bool) -> Select[Any]:
    """`statement` over `table`, cut down to `page` and in its order."""
    return statement.join(page, page.c.id == table.c.id).order_by(*_order(page, "sort_key", descending))
