"""The leases of a process's attempts: one statement renews them all."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from uuid import UUID

from jobs.core.database import Database
from jobs.core.errors import DatabaseUnavailable, LeaseLost
from jobs.core.images import renew_leases
from jobs.core.logs import get_logger

_RENEWALS_A_LEASE = 4

log = get_logger(__name__)


class LeaseKeeper:
    """Renews the leases of the attempts that run in this process, and ends an attempt that has lost its own.

    `lease_s` is the length of a lease in seconds; all are renewed four times as often.
    """

    def __init__(self, database: Database, *, lease_s: float) -> None:
        self._database = database
        self.lease_s = lease_s
        self._attempts: dict[UUID, tuple[int, asyncio.Task[object]]] = {}
        self._lost: set[UUID] = set()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Renew while the block runs."""
        renewing = asyncio.create_task(self._renew_forever(), name="renew_leases")
        try:
            yield
        finally:
            renewing.cancel()
            with suppress(asyncio.CancelledError):
                await renewing

    @asynccontextmanager
    async def hold(self, image_id: UUID, attempt: int) -> AsyncIterator[None]:
        """Keep this attempt's lease while the block runs in the current asyncio task.

        Raises:
            LeaseLost: Somebody else took the image meanwhile; the block was interrupted where it waited.
        """
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 (a coroutine always runs in one)
        self._attempts[image_id] = (attempt, task)
        try:
            yield
        except asyncio.CancelledError:
            if image_id not in self._lost:
                raise
            task.uncancel()
            raise LeaseLost("Another attempt has this image, or it is over.") from None
        finally:
            self._attempts.pop(image_id, None)
            self._lost.discard(image_id)

    async def renew_all(self) -> None:
        """Renew every lease held, in one statement, and interrupt the attempts that have lost theirs."""
        held = {image_id: attempt for image_id, (attempt, _) in self._attempts.items()}
        if not held:
            return
        kept = await renew_leases(self._database, held, lease_s=self.lease_s)
        for image_id in held.keys() - kept:
            attempt, task = self._attempts.get(image_id, (None, None))
            if task is not None and attempt == held[image_id]:
                self._lost.add(image_id)
                task.cancel()

    async def _renew_forever(self) -> None:
        while True:
            await asyncio.sleep(self.lease_s / _RENEWALS_A_LEASE)
            try:
                await self.renew_all()
            except DatabaseUnavailable:
                log.warning("renew_leases", error_code="unavailable")
