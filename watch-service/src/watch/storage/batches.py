"""Reading all of a large result, one batch in memory at a time."""

from collections.abc import AsyncIterator

from pymongo.asynchronous.cursor import AsyncCursor

from chassis.mongo import Document


async def batches(cursor: AsyncCursor[Document], size: int) -> AsyncIterator[list[Document]]:
    """The documents of `cursor` in lists of `size`; closes the cursor at the end."""
    async with cursor:
        while found := await cursor.to_list(size):
            yield found
