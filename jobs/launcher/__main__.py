"""The command line of the launcher.

    python -m jobs.launcher run                 everything in the Procfile, until Ctrl-C
    python -m jobs.launcher exec -- COMMAND …   one command, on the servers of a running `run`, or on servers of its own

Both migrate first and give their processes REDIS_URL, DATABASE_URL and what RQ's programs read from the environment.
"""

import argparse
import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import psutil

from jobs.core.errors import SettingsError, VignetteError
from jobs.core.logs import configure_logging
from jobs.core.migrations import apply_migrations
from jobs.core.settings import Settings
from jobs.launcher.children import Children
from jobs.launcher.demo import ensure_demo_reader, read_or_make_secret
from jobs.launcher.servers import Servers, VarInUse, announce_servers, join_servers, own_var, start_servers

_ROOT = Path(__file__).resolve().parents[2]
_READY_S = 60.0
_LOOK_EVERY_S = 0.5
_GRACE_S = "3"  # honcho kills what has not ended within 5 s


def main() -> None:
    """Run, or say in a sentence why not."""
    parser = argparse.ArgumentParser(prog="python -m jobs.launcher", description="Run Vignette on this machine.")
    commands = parser.add_subparsers(dest="action", required=True)
    commands.add_parser("run", help="start everything in the Procfile")
    execute = commands.add_parser("exec", help="run one command on the servers")
    execute.add_argument("--no-migrate", action="store_true", help="leave the schema as it is")
    execute.add_argument("command", nargs="+")
    arguments = parser.parse_args()
    for each in (signal.SIGINT, signal.SIGTERM):  # SIGINT too: a shell starts background jobs with it ignored
        signal.signal(each, _raise_interrupt)
    try:
        settings = Settings.load()
        configure_logging("WARNING")
        if arguments.action == "run":
            code = _run_procfile(settings)
        else:
            code = _run_command(settings, arguments.command, migrate=not arguments.no_migrate)
    except VignetteError as error:
        raise SystemExit(str(error)) from None
    except KeyboardInterrupt:
        code = 0 if arguments.action == "run" else 130  # stopping is how a run ends
    raise SystemExit(code)


def _run_procfile(settings: Settings) -> int:
    var = settings.var.resolve()
    with own_var(var) as children:
        for name, host, port in (
            ("PORT", settings.host, settings.port),
            ("DASHBOARD_PORT", "127.0.0.1", settings.dashboard_port),
        ):
            _require_free_port(name, host, port)
        with start_servers(settings, children) as servers:
            apply_migrations(servers.database_url)
            token = asyncio.run(ensure_demo_reader(servers.database_url, var))
            announce_servers(var, servers)
            environment = {"SHUTDOWN_GRACE_S": _GRACE_S} | make_environment(settings, servers)
            honcho = [
                sys.executable,
                "-m",
                "honcho",
                "-e",
                os.devnull,
                "start",
                "-c",
                f"worker={settings.workers}",
            ]
            process = children.start(honcho, environment=environment, folder=_ROOT)
            with _ended_after(children, process):
                if _wait_until_listening(settings, process):
                    children.remember_offspring(process)
                    _print_addresses(settings, token, environment)
                while process.poll() is None:
                    servers.restart_dead()
                    time.sleep(_LOOK_EVERY_S)
                return int(process.returncode) or 1  # nobody asked it to end


def _run_command(settings: Settings, command: Sequence[str], *, migrate: bool) -> int:
    var = settings.var.resolve()
    try:
        with own_var(var) as children, start_servers(settings, children) as servers:
            announce_servers(var, servers)
            return _execute(settings, servers, command, migrate=migrate)
    except VarInUse:
        return _execute(settings, join_servers(var), command, migrate=migrate)


def _execute(settings: Settings, servers: Servers, command: Sequence[str], *, migrate: bool) -> int:
    if migrate:
        apply_migrations(servers.database_url)
    with subprocess.Popen(list(command), env=make_environment(settings, servers)) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.send_signal(signal.SIGINT)
            return process.wait()


def make_environment(settings: Settings, servers: Servers) -> dict[str, str]:
    """The environment of every process: ours, the servers, and what RQ's own programs read."""
    var = settings.var.resolve()
    password = settings.rq_dashboard_password
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}",
        "PYTHONUNBUFFERED": "1",
        "REDIS_URL": servers.redis_url,
        "DATABASE_URL": servers.database_url,
        "VAR": str(var),
        "HOST": settings.host,
        "WEB_PORT": str(settings.port),  # honcho gives each process another PORT
        "PORT": "5000",
        "RQ_CONFIG": "jobs.rq_settings",
        "RQ_WORKER_CLASS": "jobs.worker.Worker",
        "RQ_JOB_CLASS": "jobs.core.queues.Job",
        "RQ_QUEUE_CLASS": "jobs.core.queues.Queue",
        "RQ_DASHBOARD_REDIS_URL": servers.redis_url,
        "RQ_DASHBOARD_BIND": "127.0.0.1",
        "RQ_DASHBOARD_PORT": str(settings.dashboard_port),
        "RQ_DASHBOARD_JSON": "1",
        "RQ_DASHBOARD_USERNAME": settings.rq_dashboard_username,
        "RQ_DASHBOARD_PASSWORD": password.get_secret_value()
        if password
        else read_or_make_secret(var / "dashboard-password"),
    }


@contextmanager
def _ended_after(children: Children, process: psutil.Popen) -> Iterator[None]:
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.SIG_IGN)  # a second Ctrl-C must not cut the ending short
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        children.stop(process, signal.SIGTERM)


def _require_free_port(name: str, host: str, port: int) -> None:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            raise SettingsError(f"{host}:{port} is in use by another program; set {name} to a free port.") from None


def _wait_until_listening(settings: Settings, process: psutil.Popen) -> bool:
    deadline = time.monotonic() + _READY_S
    while time.monotonic() < deadline and process.poll() is None:
        try:
            socket.create_connection((settings.host, settings.port), timeout=1).close()
        except OSError:
            time.sleep(0.1)
        else:
            return True
    return False


def _print_addresses(settings: Settings, token: str, environment: Mapping[str, str]) -> None:
    host = "127.0.0.1" if settings.host == "0.0.0.0" else settings.host  # noqa: S104 (compared, not bound)
    host = f"[{host}]" if ":" in host else host
    print(
        f"\n  Vignette    http://{host}:{settings.port}/#token={token}"
        f"\n  Dashboard   http://127.0.0.1:{settings.dashboard_port}/   user {settings.rq_dashboard_username},"
        f" password {environment['RQ_DASHBOARD_PASSWORD']}"
        f"\n  Stop        Ctrl-C\n",
        flush=True,
    )


def _raise_interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    main()
