"""The servers that Vignette stands on: those that the environment names, embedded ones for the rest.

One launcher owns a VAR at a time, by a lock that the kernel lets go when its holder dies. Another one on the same VAR
joins the servers that run there.
"""

import fcntl
import json
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from jobs.core.errors import SettingsError
from jobs.core.settings import Settings
from jobs.launcher.children import Children
from jobs.launcher.postgres_server import EmbeddedPostgres
from jobs.launcher.redis_server import EmbeddedRedis

_JOIN_S = 180.0


@dataclass(frozen=True, slots=True)
class Servers:
    """Where the servers are, and those among them that are ours."""

    redis_url: str
    database_url: str
    embedded: tuple[EmbeddedRedis | EmbeddedPostgres, ...] = ()

    def restart_dead(self) -> None:
        """Start again what has died of our own servers, at the same address."""
        for server in self.embedded:
            if server.process.poll() is not None:
                server.start()


class VarInUse(SettingsError):
    """Another launcher owns this VAR."""


@contextmanager
def own_var(var: Path) -> Iterator[Children]:
    """Own the folder VAR for a block; what a killed owner left running is ended first.

    Raises:
        VarInUse: Another launcher owns it.
    """
    var.mkdir(parents=True, exist_ok=True)
    with (var / "lock").open("a") as lock:
        if not _try_lock(lock):
            raise VarInUse(f"{var} is in use by another `make run` or command; stop it, or set VAR to another folder.")
        (var / "servers.json").unlink(missing_ok=True)
        children = Children(var / "children.json")
        children.end_leftovers()
        try:
            yield children
        finally:
            children.stop_all()  # also what was being started when the block was interrupted


@contextmanager
def start_servers(
    settings: Settings, children: Children, *, postgres_options: Mapping[str, str] | None = None
) -> Iterator[Servers]:
    """Start what the settings do not name, under VAR, for a block; ends with nothing left running and all written."""
    var = settings.var.resolve()
    with ExitStack() as stack:
        embedded: list[EmbeddedRedis | EmbeddedPostgres] = []
        if settings.redis_url is None:
            embedded.append(stack.enter_context(EmbeddedRedis(var / "redis", children)))
            redis_url = embedded[-1].url
        else:
            redis_url = settings.required_redis_url
        if settings.database_url is None:
            postgres = EmbeddedPostgres(var / "postgres", children, options=postgres_options)
            embedded.append(stack.enter_context(postgres))
            database_url = embedded[-1].url
        else:
            database_url = settings.required_database_url
        yield Servers(redis_url, database_url, tuple(embedded))
        (var / "servers.json").unlink(missing_ok=True)


def announce_servers(var: Path, servers: Servers) -> None:
    """Tell other launchers on this VAR where the servers are, in a file that only we can read."""
    write_private_file(
        var / "servers.json", json.dumps({"redis_url": servers.redis_url, "database_url": servers.database_url})
    )


def join_servers(var: Path) -> Servers:
    """The servers of the launcher that owns this VAR, when it has announced them.

    Raises:
        SettingsError: It has not within three minutes.
    """
    deadline = time.monotonic() + _JOIN_S
    while time.monotonic() < deadline:
        try:
            return Servers(**json.loads((var / "servers.json").read_text()))
        except (FileNotFoundError, ValueError):
            time.sleep(0.05)
    raise SettingsError(f"Another launcher owns {var}, and does not get ready.")


def write_private_file(path: Path, content: str) -> None:
    """Write a file that only we can read, whole or not at all."""
    draft = path.with_name(f"{path.name}.draft")
    draft.unlink(missing_ok=True)
    draft.touch(mode=0o600)
    draft.write_text(content)
    draft.replace(path)


def _try_lock(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
