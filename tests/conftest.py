"""The ground of all tests: real servers from the product's own launcher, a database per test, a clean environment."""

import asyncio
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import aiohttp
import psycopg
import pytest
import redis
import uvicorn
from psycopg.rows import dict_row

from jobs.core.books import NewBook, NewChapter, NewDescription, add_book, find_chapter
from jobs.core.database import Database
from jobs.core.migrations import apply_migrations
from jobs.core.queue_client import Queues
from jobs.core.settings import Settings
from jobs.core.states import DescriptionType
from jobs.core.storage import ImageStore
from jobs.core.users import User, create_user
from jobs.launcher.__main__ import make_environment
from jobs.launcher.servers import Servers, own_var, start_servers
from service.app import create_app
from tests.standin import Standin

ROOT = Path(__file__).resolve().parents[1]
WAIT_S = 30.0
"""How long a test waits for what must happen, before it says that it did not."""


@pytest.fixture(scope="session", autouse=True)
def _clean_session() -> Iterator[None]:
    """Nothing of the developer's environment reaches a test."""
    ours = {name.upper() for name in Settings.model_fields} | {name for name in os.environ if name.startswith("RQ_")}
    saved = {name: os.environ.pop(name) for name in ours if name in os.environ}
    yield
    os.environ.update(saved)


@pytest.fixture(scope="session")
def shared_servers(_clean_session: None) -> Iterator[Servers]:
    """One embedded Redis and one embedded PostgreSQL for the session, with a migrated template database."""
    folder = Path(tempfile.mkdtemp(prefix="vignette-tests-"))
    folder.chmod(0o755)  # PostgreSQL's own user passes through
    settings = Settings(_env_file=None, var=folder)
    with own_var(folder) as children, start_servers(settings, children, postgres_options={"fsync": "off"}) as servers:
        with psycopg.connect(servers.database_url, autocommit=True) as connection:
            connection.execute("CREATE DATABASE template_vignette")
        apply_migrations(_with_database(servers.database_url, "template_vignette"))
        yield servers
    shutil.rmtree(folder)


def _with_database(url: str, name: str) -> str:
    parts = urlsplit(url)
    rest = urlunsplit(("", "", f"/{name}", parts.query, ""))
    return f"{parts.scheme}://{parts.netloc}{rest}"


@pytest.fixture
def empty_database_url(shared_servers: Servers) -> Iterator[str]:
    """A database without a schema."""
    with _make_database(shared_servers.database_url, "template1") as url:
        yield url


@pytest.fixture
def servers(shared_servers: Servers) -> Iterator[Servers]:
    """A migrated database of the test's own, and an empty Redis."""
    with closing(redis.Redis.from_url(shared_servers.redis_url)) as client:
        client.flushall()
    with _make_database(shared_servers.database_url, "template_vignette") as url:
        yield Servers(shared_servers.redis_url, url)


@contextmanager
def _make_database(url: str, template: str) -> Iterator[str]:
    name = f"test_{uuid.uuid4().hex}"
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(f"CREATE DATABASE {name} TEMPLATE {template}".encode())
        yield _with_database(url, name)
        connection.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


@pytest.fixture
def settings(servers: Servers, tmp_path: Path) -> Settings:
    """Settings that name the test's servers."""
    return Settings(
        _env_file=None,
        redis_url=servers.redis_url,
        database_url=servers.database_url,
        var=tmp_path,
        log_level="WARNING",
    )


@pytest.fixture
def environment(settings: Settings, servers: Servers) -> dict[str, str]:
    """The environment of a process on the test's servers."""
    return make_environment(settings, servers) | {"LOG_LEVEL": "INFO"}


@pytest.fixture
async def database(servers: Servers) -> AsyncIterator[Database]:
    """The test's database."""
    async with Database(servers.database_url) as database:
        yield database


@pytest.fixture
def queues(servers: Servers) -> Iterator[Queues]:
    """The test's queues."""
    with closing(Queues(servers.redis_url)) as queues:
        yield queues


@pytest.fixture
def redis_client(servers: Servers) -> Iterator[redis.Redis]:
    """Redis itself."""
    with closing(redis.Redis.from_url(servers.redis_url, decode_responses=True)) as client:
        yield client


@pytest.fixture
def store(settings: Settings) -> ImageStore:
    """The test's image store."""
    return ImageStore(settings.resolved_image_store_url)


Sql = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def sql(servers: Servers) -> Iterator[Sql]:
    """Runs any statement in the test's database; the rows, if it has any."""
    with psycopg.connect(servers.database_url, autocommit=True, row_factory=dict_row) as connection:

        def run(statement: str, *parameters: object) -> list[dict[str, Any]]:
            cursor = connection.execute(statement.encode(), parameters or None)
            return cursor.fetchall() if cursor.description else []

        yield run


@pytest.fixture
async def alice(database: Database) -> tuple[User, str]:
    """A user and the token."""
    return await create_user(database, "alice")


@pytest.fixture
async def bob(database: Database) -> tuple[User, str]:
    """Another user and the token."""
    return await create_user(database, "bob")


@dataclass(frozen=True)
class Shelf:
    """Ids of one book with one chapter of passages."""

    book_id: uuid.UUID
    chapter_id: uuid.UUID
    description_ids: list[uuid.UUID]


async def make_shelf(database: Database, user: User, passages: int = 3) -> Shelf:
    """Add a book with so many passages."""
    texts = [f"Ночью над озером стоял замок номер {number}." for number in range(passages)]
    descriptions = [NewDescription(DescriptionType.LOCATION, text, number / 100) for number, text in enumerate(texts)]
    chapter = NewChapter(" ".join(texts) or "Пусто.", "Глава", descriptions)
    book = await add_book(database, user.id, NewBook("Книга", None, "ru", "fairy tale", [chapter]))
    found = await find_chapter(database, user.id, book.chapters[0]["id"])
    return Shelf(book.id, found.id, [each["id"] for each in found.descriptions])


@pytest.fixture
async def shelf(database: Database, alice: tuple[User, str]) -> Shelf:
    """Alice's book."""
    return await make_shelf(database, alice[0])


@dataclass(frozen=True)
class Answer:
    """An HTTP answer, read."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


class Client:
    """Talks to a web process over the wire as one user."""

    def __init__(self, session: aiohttp.ClientSession, base_url: str, token: str | None) -> None:
        self._session, self._base_url, self._token = session, base_url, token

    def with_token(self, token: str | None) -> "Client":
        """The same server as somebody else; None: as nobody."""
        return Client(self._session, self._base_url, token)

    async def __call__(self, method: str, path: str, **more: Any) -> Answer:
        headers = {"Authorization": f"Bearer {self._token}"} if self._token else {}
        headers |= more.pop("headers", {})
        async with self._session.request(method, self._base_url + path, headers=headers, **more) as response:
            return Answer(response.status, {k.lower(): v for k, v in response.headers.items()}, await response.read())


@contextmanager
def listen() -> Iterator[socket.socket]:
    """A listening socket on a free port of loopback."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener


@pytest.fixture
async def client(settings: Settings, alice: tuple[User, str]) -> AsyncIterator[Client]:
    """Alice, talking to a real uvicorn that serves the application in this event loop."""
    jar = aiohttp.DummyCookieJar()
    async with serve(create_app(settings)) as base_url, aiohttp.ClientSession(cookie_jar=jar) as session:
        yield Client(session, base_url, alice[1])


@dataclass(frozen=True)
class ServedStandin:
    """The stand-in for Google and OpenAI, and its address."""

    standin: Standin
    url: str


@pytest.fixture
async def provider_server() -> AsyncIterator[ServedStandin]:
    """The stand-in, served by a real uvicorn in this event loop."""
    standin = Standin()
    async with serve(standin.app) as url:
        yield ServedStandin(standin, url)


@asynccontextmanager
async def serve(app: Any) -> AsyncIterator[str]:
    """Serve an ASGI application on a free port of loopback; its address."""
    server = uvicorn.Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1))
    with listen() as listener:
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        await wait_until(lambda: server.started or serving.done())
        assert server.started
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        await serving


@pytest.fixture
def work(environment: dict[str, str]) -> Callable[[], str]:
    """Runs the literal worker command until the queues are empty; its log."""

    def work() -> str:
        command = ["rq", "worker", "--burst", "heavy", "normal", "light"]
        done = subprocess.run(command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120)
        assert done.returncode == 0, done.stderr
        return done.stderr + done.stdout

    return work


async def wait_until(condition: Callable[[], Any] | Callable[[], Awaitable[Any]], timeout_s: float = WAIT_S) -> Any:
    """Wait for a condition, and answer what it answers; fail where it does not come true."""
    deadline = time.monotonic() + timeout_s
    while True:
        value = condition()
        if isinstance(value, Awaitable):
            value = await value
        if value:
            return value
        if time.monotonic() > deadline:
            pytest.fail(f"not true after {timeout_s} s")
        await asyncio.sleep(0.02)


def wait_for(condition: Callable[[], Any], timeout_s: float = WAIT_S) -> Any:
    """The same, in a test that is no coroutine; an error of the operating system counts as not yet."""
    deadline = time.monotonic() + timeout_s
    while True:
        with suppress(OSError):
            if value := condition():
                return value
        if time.monotonic() > deadline:
            pytest.fail(f"not true after {timeout_s} s")
        time.sleep(0.05)


PYTHON = sys.executable
