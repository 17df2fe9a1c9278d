"""The processes that the launcher starts: each in a session of its own, remembered on disk, ended with its offspring.

A Ctrl-C in the terminal reaches the launcher alone, which ends its children in the right order. A launcher that was
killed leaves them running; the next one finds them by process id and start time, and ends them first.
"""

import importlib.util
import json
import os
import pwd
import signal
import socket
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

import psutil

_STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM)

STOP_S = 30.0
"""How long a child may take to end before it is killed."""


class Children:
    """The children of one launcher, in the order of their start.

    Args:
        record: The file that remembers them while they live.
    """

    def __init__(self, record: Path) -> None:
        self._record = record
        self._processes: list[psutil.Popen] = []
        self._offspring: dict[int, list[psutil.Process]] = {}

    def start(
        self,
        command: Sequence[str],
        *,
        environment: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
        output: IO[bytes] | None = None,
        user: int | None = None,
        folder: Path | None = None,
    ) -> psutil.Popen:
        """Start a command in a session of its own; `user` is the uid it runs as, `output` takes all it prints."""
        with _undisturbed():
            process = psutil.Popen(
                list(command),
                env=dict(environment) if environment is not None else None,
                stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                cwd=folder,
                start_new_session=True,
                **as_user(user),
            )
            self._processes.append(process)
            self._write_record()
        if stdin is not None:
            process.stdin.write(stdin)
            process.stdin.close()
        return process

    def stop(self, process: psutil.Popen, how: signal.Signals = signal.SIGTERM) -> None:
        """End a child and whatever it started that outlives it; returns when all are gone."""
        _end([process], how)
        _end(self._offspring.pop(process.pid, []), signal.SIGTERM)  # what outlived a child that was killed
        with suppress(ValueError):  # it was stopped before, when it did not start
            self._processes.remove(process)
        self._write_record()

    def stop_all(self) -> None:
        """End every child that still runs, the last first."""
        for process in reversed(self._processes):
            self.stop(process)

    def remember_offspring(self, process: psutil.Popen) -> None:
        """Remember what a child has started by now, to end it even where the child was killed and cannot tell."""
        self._offspring[process.pid] = _descendants(process)
        self._write_record()

    def end_leftovers(self) -> int:
        """End the children of an earlier launcher that was killed; how many there were, their children included."""
        with suppress(FileNotFoundError, ValueError):
            leftovers = [found for each in json.loads(self._record.read_text()) if (found := _find(**each))]
            for process in reversed(leftovers):
                _end([process], signal.SIGTERM)
            self._record.unlink()
            return len(leftovers)
        return 0

    def _write_record(self) -> None:
        record = []
        for process in [*self._processes, *(each for family in self._offspring.values() for each in family)]:
            with suppress(psutil.NoSuchProcess):
                record.append({"pid": process.pid, "started_at": process.create_time()})
        self._record.write_text(json.dumps(record))


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Put a signal to stop off until the block is done: a child that is started and not yet noted would be lost."""
    caught: list[int] = []
    saved = {each: signal.signal(each, lambda number, _: caught.append(number)) for each in _STOP_SIGNALS}
    try:
        yield
    finally:
        for each, handler in saved.items():
            signal.signal(each, handler)
    if caught:
        raise KeyboardInterrupt


def is_running_postgres(pid: int) -> bool:
    """A postgres runs under this process id; anything else got the id after a crash."""
    try:
        return bool(psutil.Process(pid).name() == "postgres")
    except psutil.NoSuchProcess:
        return False


def as_user(uid: int | None) -> dict[str, Any]:
    """What starts a process as this user and with its groups only; None: as ourselves."""
    if uid is None:
        return {}
    return {"user": uid, "group": pwd.getpwuid(uid).pw_gid, "extra_groups": []}


def _find(pid: int, started_at: float) -> psutil.Process | None:
    process = _process(pid)
    return process if process and abs(process.create_time() - started_at) < 1 else None


def _end(roots: Sequence[psutil.Process], how: signal.Signals) -> None:
    family = [child for root in roots for child in _descendants(root)]
    for root in roots:
        with suppress(psutil.NoSuchProcess):
            root.send_signal(how)
    psutil.wait_procs(roots, timeout=STOP_S)
    # What a child started and did not end itself: first asked, then killed.
    orphans = [process for process in [*roots, *family] if process.is_running() and not _is_zombie(process)]
    for process in orphans:
        with suppress(psutil.NoSuchProcess):
            process.terminate()
    _, stubborn = psutil.wait_procs(orphans, timeout=5)
    for process in stubborn:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(stubborn, timeout=5)


def _descendants(process: psutil.Process) -> list[psutil.Process]:
    """What a process has started, and what shares a session with it: a work horse whose worker was killed has another
    parent now, but still its session."""
    try:
        tree: list[psutil.Process] = [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []
    sessions = {_session_of(each.pid) for each in tree} - {os.getsid(0), None}
    known = {each.pid for each in tree}
    orphans = [pid for pid in psutil.pids() if pid not in known and _session_of(pid) in sessions]
    return tree[1:] + [found for pid in orphans if (found := _process(pid))]


def _session_of(pid: int) -> int | None:
    try:
        return os.getsid(pid)
    except OSError:
        return None


def _process(pid: int) -> psutil.Process | None:
    try:
        return psutil.Process(pid)
    except psutil.NoSuchProcess:
        return None


def _is_zombie(process: psutil.Process) -> bool:
    try:
        return bool(process.status() == psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return True


def find_free_port() -> int:
    """A TCP port on loopback that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def find_carried_program(package: str, path: str) -> str | None:
    """A program that an installed package carries; the package is looked up and not imported, since that costs time and
    starts what only its own client needs."""
    found = importlib.util.find_spec(package)
    for place in (found.submodule_search_locations or []) if found else []:
        if (program := Path(place) / path).exists():
            return str(program)
    return None
