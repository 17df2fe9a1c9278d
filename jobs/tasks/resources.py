"""What the tasks need, opened once and shared: the database, the queues, the store, the provider, the leases."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from contextvars import ContextVar
from dataclasses import dataclass

from jobs.core.database import Database
from jobs.core.queues import Queues
from jobs.core.settings import Settings
from jobs.core.storage import ImageStore
from jobs.illustration.provider import Provider
from jobs.illustration.sketch import SketchProvider
from jobs.tasks.leases import LeaseKeeper


@dataclass(frozen=True, slots=True)
class Resources:
    """One process's connections and clients."""

    database: Database
    queues: Queues
    store: ImageStore
    provider: Provider
    leases: LeaseKeeper


_current: ContextVar[Resources | None] = ContextVar("resources", default=None)


@asynccontextmanager
async def open_resources(settings: Settings) -> AsyncIterator[Resources]:
    """Open all of it for a block, in which `use_resources` gives it; closed at the end."""
    provider = SketchProvider()
    async with Database(settings.required_database_url, max_connections=4) as database:
        with closing(Queues(settings.required_redis_url)) as queues:
            leases = LeaseKeeper(database)
            resources = Resources(database, queues, ImageStore(settings.resolved_image_store_url), provider, leases)
            token = _current.set(resources)
            try:
                async with leases.running():
                    yield resources
            finally:
                _current.reset(token)
                await provider.close()


@asynccontextmanager
async def use_resources() -> AsyncIterator[Resources]:
    """The process's resources; where it has none (a forked work horse, a script), ones for this block alone."""
    current = _current.get()
    if current is not None:
        yield current
        return
    async with open_resources(Settings.load()) as resources:
        yield resources
