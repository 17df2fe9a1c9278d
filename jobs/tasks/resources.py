"""What the tasks need, opened once and shared: the database, the queues, the store, the provider, the leases."""

import asyncio
import signal
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, closing, contextmanager
from contextvars import ContextVar
from dataclasses import dataclass

from jobs.core.database import Database
from jobs.core.errors import SettingsError
from jobs.core.queue_client import Queues, connect_redis_async
from jobs.core.settings import Settings
from jobs.core.storage import ImageStore
from jobs.google import GoogleClient
from jobs.illustration.gemini import GeminiProvider
from jobs.illustration.openai import OpenAIProvider
from jobs.illustration.provider import Provider
from jobs.illustration.sketch import SketchProvider
from jobs.illustration.translation import Translator
from jobs.tasks.leases import LeaseKeeper


@dataclass(frozen=True, slots=True)
class Resources:
    """One process's connections and clients; without a Google key there is no translator."""

    database: Database
    queues: Queues
    store: ImageStore
    provider: Provider
    translator: Translator | None
    leases: LeaseKeeper


_current: ContextVar[Resources | None] = ContextVar("resources", default=None)


@asynccontextmanager
async def open_resources(settings: Settings) -> AsyncIterator[Resources]:
    """Open all of it for a block, in which `use_resources` gives it; closed at the end.

    Raises:
        SettingsError: The provider that is asked for lacks its key or address.
    """
    async with AsyncExitStack() as stack:
        database = await stack.enter_async_context(Database(settings.required_database_url, max_connections=4))
        queues = stack.enter_context(closing(Queues(settings.required_redis_url)))
        google = _make_google_client(settings)
        translator = None
        if google is not None:
            stack.push_async_callback(google.close)
            cache = connect_redis_async(settings.required_redis_url)
            stack.push_async_callback(cache.aclose)
            translator = Translator(google, cache, model=settings.text_model, ttl_s=settings.translation_ttl)
        provider = make_provider(settings, google)
        stack.push_async_callback(provider.close)
        leases = LeaseKeeper(database, lease_s=settings.lease_s)
        await stack.enter_async_context(leases.running())
        store = ImageStore(settings.resolved_image_store_url)
        resources = Resources(database, queues, store, provider, translator, leases)
        token = _current.set(resources)
        try:
            yield resources
        finally:
            _current.reset(token)


@asynccontextmanager
async def use_resources() -> AsyncIterator[Resources]:
    """The process's resources; where it has none (a forked work horse, a script), ones for this block alone."""
    current = _current.get()
    if current is not None:
        yield current
        return
    async with open_resources(Settings.load()) as resources:
        with _cancelled_by_sigterm():
            yield resources


@contextmanager
def _cancelled_by_sigterm() -> Iterator[None]:
    """SIGTERM cancels the running task, which then hands back what it has."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    assert task is not None  # noqa: S101 (a coroutine always runs in one)
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGTERM)


def make_provider(settings: Settings, google: GoogleClient | None) -> Provider:
    """The provider that the settings ask for.

    Raises:
        SettingsError: It lacks its key or address.
    """
    match settings.resolved_image_provider:
        case "gemini":
            if google is None:
                raise SettingsError("IMAGE_PROVIDER is gemini, and GOOGLE_API_KEY is unset.")
            return GeminiProvider(
                google,
                model=settings.image_model,
                image_size=settings.image_size,
                timeout_s=settings.provider_timeout_s,
            )
        case "openai":
            if settings.openai_base_url is None:
                raise SettingsError("IMAGE_PROVIDER is openai, and OPENAI_BASE_URL is unset.")
            key = settings.openai_api_key
            return OpenAIProvider(
                settings.openai_base_url,
                api_key=key.get_secret_value() if key else None,
                model=settings.image_model,
                timeout_s=settings.provider_timeout_s,
            )
        case "sketch":
            return SketchProvider()


def _make_google_client(settings: Settings) -> GoogleClient | None:
    key = settings.google_api_key
    return GoogleClient(key.get_secret_value(), base_url=settings.google_gemini_base_url) if key else None
