"""Which moment it is. All replicas decide by the database's clock; tests put it forward."""

from collections.abc import Awaitable, Callable
from datetime import datetime

from sqlalchemy.ext.asyncio import AsyncSession

DatabaseClock = Callable[[AsyncSession], Awaitable[datetime]]
"""The present moment as the database of this session sees it."""
