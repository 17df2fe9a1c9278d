"""Postgres: the pool, the named queries of sql/queries, and the advisory lock; the one place that imports psycopg.

Each `fetch_*` is one statement, one round trip, and its own transaction (the connections are in autocommit), unless it
is called on what `transaction()` gives.
"""

from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, Self

import aiosql
import psycopg
from psycopg import AsyncConnection
from psycopg.rows import DictRow, dict_row
from psycopg_pool import AsyncConnectionPool

from jobs.core.errors import Conflict, DatabaseUnavailable

SQL = Path(__file__).resolve().parents[2] / "sql"
_LEASE_A_CONNECTION_S = 5.0  # how long a caller waits for a free connection before it is told `unavailable`
_CONNECT_S = 5
_CONNECTION_LOST = ("08", "57P")  # classes of SQLSTATE: no connection, the server is ending


@cache
def load_queries() -> Any:
    """The queries of sql/queries as coroutine functions on one object, loaded once per process."""
    return aiosql.from_path(SQL / "queries", "apsycopg")


class Executor(Protocol):
    """What runs named queries: the database (each on its own), or a transaction (together)."""

    async def fetch_one(self, query: str, /, **parameters: object) -> DictRow | None: ...

    async def fetch_all(self, query: str, /, **parameters: object) -> list[DictRow]: ...

    async def execute(self, query: str, /, **parameters: object) -> int: ...


class Transaction:
    """Named queries on one connection, inside its transaction."""

    def __init__(self, connection: AsyncConnection[DictRow]) -> None:
        self._connection = connection

    async def fetch_one(self, query: str, /, **parameters: object) -> DictRow | None:
        """The row of a `^` query, or None."""
        row: DictRow | None = await getattr(load_queries(), query)(self._connection, **parameters)
        return row

    async def fetch_all(self, query: str, /, **parameters: object) -> list[DictRow]:
        """All rows of a plain query; the query has a LIMIT."""
        return [row async for row in getattr(load_queries(), query)(self._connection, **parameters)]

    async def execute(self, query: str, /, **parameters: object) -> int:
        """Run a `!` query; the number of rows it changed."""
        count: int = await getattr(load_queries(), query)(self._connection, **parameters)
        return count


class Database:
    """The pool of one process.

    Args:
        url: A libpq connection URI.
        max_connections: The most connections this process holds.
    """

    def __init__(self, url: str, *, max_connections: int = 10) -> None:
        self._pool: AsyncConnectionPool[AsyncConnection[DictRow]] = AsyncConnectionPool(
            url,
            min_size=1,
            max_size=max_connections,
            timeout=_LEASE_A_CONNECTION_S,
            kwargs={
                "autocommit": True,
                "row_factory": dict_row,
                "connect_timeout": _CONNECT_S,
                "application_name": "vignette",
                "options": "-c timezone=UTC",
            },
            open=False,
            name="vignette",
        )

    async def __aenter__(self) -> Self:
        """Open the pool without waiting for the server: a process starts while Postgres is away."""
        await self._pool.open(wait=False)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._pool.close()

    async def fetch_one(self, query: str, /, **parameters: object) -> DictRow | None:
        """The row of a `^` query, or None.

        Raises:
            DatabaseUnavailable: Postgres does not answer.
        """
        async with self._lease() as connection:
            return await Transaction(connection).fetch_one(query, **parameters)

    async def fetch_all(self, query: str, /, **parameters: object) -> list[DictRow]:
        """All rows of a plain query.

        Raises:
            DatabaseUnavailable: Postgres does not answer.
        """
        async with self._lease() as connection:
            return await Transaction(connection).fetch_all(query, **parameters)

    async def execute(self, query: str, /, **parameters: object) -> int:
        """Run a `!` query; the number of rows it changed.

        Raises:
            DatabaseUnavailable: Postgres does not answer.
        """
        async with self._lease() as connection:
            return await Transaction(connection).execute(query, **parameters)

    @asynccontextmanager
    async def _begin(self) -> AsyncIterator[Transaction]:
        async with self._lease() as connection, connection.transaction():
            yield Transaction(connection)

    def transaction(self) -> AbstractAsyncContextManager[Transaction]:
        """Queries that hold together: all of them, or, on an error, none.

        Raises:
            DatabaseUnavailable: Postgres does not answer.
        """
        return self._begin()

    @asynccontextmanager
    async def _lease(self) -> AsyncIterator[AsyncConnection[DictRow]]:
        try:
            async with self._pool.connection() as connection:
                yield connection
        except (psycopg.OperationalError, psycopg.InterfaceError) as error:
            if (error.sqlstate or "08").startswith(_CONNECTION_LOST):
                await self._pool.check()  # the server went away: let go of every connection it has closed
            raise DatabaseUnavailable("The database does not answer.") from error
        except psycopg.errors.UniqueViolation as error:
            raise Conflict("Somebody else has just done the same.") from error


@contextmanager
def hold_advisory_lock(url: str, key: int, *, wait_s: int) -> Iterator[None]:
    """Hold a Postgres advisory lock for a block; it ends with the connection, so a killed holder leaves none.

    Raises:
        DatabaseUnavailable: Postgres does not answer, or somebody else held the lock for `wait_s` seconds.
    """
    try:
        with psycopg.connect(url, autocommit=True, connect_timeout=_CONNECT_S) as connection:
            connection.execute(f"SET lock_timeout = '{int(wait_s)}s'")
            connection.execute("SELECT pg_advisory_lock(%s)", (key,))
            yield
    except psycopg.OperationalError as error:
        raise DatabaseUnavailable("The database does not answer, or another process holds its lock.") from error


def answers(url: str) -> bool:
    """A Postgres takes connections at this URL now."""
    try:
        psycopg.connect(url, connect_timeout=_CONNECT_S).close()
    except psycopg.OperationalError:
        return False
    return True
