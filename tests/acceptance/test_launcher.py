"""`make run`, as processes: the main job, a stop in the middle, kills, long paths, copies side by side."""

import json
import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import MappingProxyType
from typing import Any

import psutil
import pytest

from jobs.launcher.children import find_free_port
from tests.conftest import PYTHON, ROOT, wait_for

READY_S = 60.0
FINISHED_S = 90.0


class Run:
    """A running copy."""

    def __init__(self, var: Path, process: "subprocess.Popen[bytes]", port: int, dashboard_port: int) -> None:
        self.var, self.process, self.port, self.dashboard_port = var, process, port, dashboard_port

    @property
    def output(self) -> str:
        """What it has printed."""
        return self.var.with_suffix(".log").read_text()

    def ask(self, method: str, path: str, body: object = None) -> tuple[int, Any]:
        """Talk to the API as the demo reader."""
        token = (self.var / "token").read_text().strip()
        data = None if body is None else json.dumps(body).encode()
        headers = {"Authorization": f"Bearer {token}"}
        request = urllib.request.Request(f"http://127.0.0.1:{self.port}{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                status, raw = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, raw = error.code, error.read()
        return status, raw if raw.startswith(b"\x89PNG") else json.loads(raw)

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Ctrl-C, by default; returns when it has ended."""
        self.process.send_signal(how)
        self.process.wait(timeout=40)


def _start(var: Path, settings: Mapping[str, str] = MappingProxyType({})) -> Run:
    port, dashboard_port = find_free_port(), find_free_port()
    environment = os.environ | {"VAR": str(var), "PORT": str(port), "DASHBOARD_PORT": str(dashboard_port), **settings}
    with var.with_suffix(".log").open("ab") as log:
        process = subprocess.Popen(
            [PYTHON, "-m", "jobs.launcher", "run"], cwd=ROOT, env=environment, stdout=log, stderr=log
        )
    return Run(var, process, port, dashboard_port)


@contextmanager
def running(var: Path, settings: Mapping[str, str] = MappingProxyType({})) -> Iterator[Run]:
    run = _start(var, settings)
    try:
        wait_for(lambda: run.process.poll() is not None or _is_ready(run), READY_S)
        assert run.process.poll() is None, run.output
        yield run
    finally:
        if run.process.poll() is None:
            run.stop()


def _execute(var: Path, *command: str) -> "subprocess.CompletedProcess[str]":
    return _launch({"VAR": str(var)}, "exec", "--", *command)


def _launch(settings: dict[str, str], *arguments: str) -> "subprocess.CompletedProcess[str]":
    command = [PYTHON, "-m", "jobs.launcher", *arguments]
    return subprocess.run(command, cwd=ROOT, env=os.environ | settings, capture_output=True, text=True, check=False)


def _is_ready(run: Run) -> bool:
    return run.ask("GET", "/readyz")[0] == 200


def processes_of(var: Path) -> list[psutil.Process]:
    found = []
    for process in psutil.process_iter():
        try:
            if process.environ().get("VAR") == str(var) or str(var) in " ".join(process.cmdline()):
                found.append(process)
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return [process for process in found if process.pid != os.getpid()]


@pytest.fixture
def var(tmp_path: Path) -> Iterator[Path]:
    for folder in (tmp_path, tmp_path.parent, tmp_path.parent.parent):
        folder.chmod(folder.stat().st_mode | 0o001)
    var = tmp_path / "var"
    yield var
    assert processes_of(var) == []  # nothing is left running, whatever the test did


def _passages(run: Run) -> list[str]:
    [book] = run.ask("GET", "/books")[1]["items"]
    chapters = run.ask("GET", f"/books/{book['id']}")[1]["chapters"]
    return [
        passage["id"]
        for chapter in chapters
        for passage in run.ask("GET", f"/chapters/{chapter['id']}")[1]["descriptions"]
    ]


def _post_all(run: Run) -> list[str]:
    answers = [run.ask("POST", f"/images/generate/async/{each}") for each in _passages(run)]
    assert {status for status, _ in answers} == {202}
    return [task["task_id"] for _, task in answers]


def _wait_until_all_completed(run: Run, tasks: list[str]) -> None:
    wait_for(lambda: all(_is_completed(run, task) for task in tasks), FINISHED_S)


def _is_completed(run: Run, task: str) -> bool:
    return bool(run.ask("GET", f"/images/task/{task}")[1]["status"] == "completed")


def test_the_demo_book_becomes_pictures_and_a_stop_in_the_middle_loses_none(var: Path) -> None:
    with running(var) as run:
        assert f"http://127.0.0.1:{run.port}/#token={(var / 'token').read_text().strip()}" in run.output
        assert (var / "token").stat().st_mode & 0o777 == 0o600
        first, *others = _post_all(run)
        assert others
        wait_for(lambda: _is_completed(run, first), FINISHED_S)
        status, picture = run.ask("GET", f"/images/file/{first}")
        assert status == 200
        assert picture.startswith(b"\x89PNG")
        run.stop()
        assert run.process.returncode == 0
    assert processes_of(var) == []
    with running(var) as run:
        _wait_until_all_completed(run, [first, *others])
        assert run.ask("GET", f"/images/file/{first}") == (200, picture)
        assert len(_passages(run)) == len(others) + 1  # the demo book was not added again


@pytest.mark.parametrize("what", ["the launcher", "everything"])
def test_after_a_kill_the_next_run_ends_what_is_left_and_finishes_the_work(var: Path, what: str) -> None:
    with running(var) as run:
        tasks = _post_all(run)
        victims = processes_of(var)
        run.process.kill()
        run.process.wait()
        if what == "everything":
            for each in victims:
                if each.is_running():
                    each.kill()
            psutil.wait_procs(victims, timeout=10)
            assert (var / "postgres" / "data" / "postmaster.pid").exists()
    with running(var) as run:
        _wait_until_all_completed(run, tasks)


@pytest.mark.parametrize("delay_s", [0.3, 0.6, 0.9, 1.2])
def test_a_stop_while_the_servers_start_leaves_nothing_and_spoils_nothing(var: Path, delay_s: float) -> None:
    run = _start(var)
    time.sleep(delay_s)  # no signal tells these moments from outside; whichever it hits must be harmless
    run.stop(signal.SIGTERM)
    wait_for(lambda: processes_of(var) == [])  # a killed initdb's own child ends a moment later
    assert _execute(var, "true").returncode == 0


def test_a_killed_honcho_takes_everything_with_it(var: Path) -> None:
    with running(var) as run:
        wait_for(lambda: "Stop  " in run.output)
        [honcho] = [each for each in psutil.Process(run.process.pid).children() if "honcho" in each.cmdline()]
        honcho.kill()
        assert run.process.wait(timeout=60) != 0


def test_a_process_id_that_somebody_else_has_got_does_not_stop_the_next_run(var: Path) -> None:
    with running(var) as run:
        run.stop()
    pid_file = var / "postgres" / "data" / "postmaster.pid"
    pid_file.write_text(f"{os.getpid()}\n{var / 'postgres' / 'data'}\n{int(time.time())}\n5432\n\n\n\nready\n")
    (var / "children.json").write_text(json.dumps([{"pid": os.getpid(), "started_at": 1.0}]))
    with running(var) as run:
        assert len(_passages(run)) >= 8


def test_a_long_path_and_a_second_copy_work_side_by_side(tmp_path: Path, var: Path) -> None:
    deep = tmp_path / ("a long name, with blanks and ünïcode " * 3) / ("x" * 100) / "var"
    deep.parent.mkdir(parents=True)
    with running(var) as run, running(deep) as other:
        _wait_until_all_completed(other, _post_all(other)[:1])
        assert set(_passages(run)).isdisjoint(_passages(other))
    assert processes_of(deep) == []


def test_a_second_run_on_the_same_var_is_refused_and_a_command_joins(var: Path) -> None:
    with running(var) as run:
        second = _start(var)
        assert second.process.wait(timeout=30) == 1
        assert "is in use" in run.output
        token = _execute(var, PYTHON, "-m", "jobs.core.users", "carol").stdout.splitlines()[-1]
        (var / "token").write_text(token)  # ask() now speaks as carol
        assert run.ask("GET", "/books") == (200, {"items": [], "next": None})
        shown = _execute(var, "rq", "info").stdout
        assert all(f"{queue} " in shown for queue in ("heavy", "normal", "light"))
        assert "1 workers" in shown


def test_a_command_alone_starts_the_servers_and_ends_them(var: Path) -> None:
    for name, code in (("dora", 0), ("dora", 1), ("no name!", 1)):
        done = _execute(var, PYTHON, "-m", "jobs.core.users", name)
        assert done.returncode == code, done.stderr
        assert "Traceback" not in done.stderr
    assert processes_of(var) == []


def test_a_port_in_use_is_named(var: Path) -> None:
    with running(var) as run:
        environment = os.environ | {"VAR": f"{var}2", "PORT": str(run.port)}
        done = subprocess.run(
            [PYTHON, "-m", "jobs.launcher", "run"],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert f"127.0.0.1:{run.port} is in use by another program; set PORT" in done.stderr


def test_the_dashboard_asks_for_a_password_and_shows_queues_workers_and_jobs(var: Path) -> None:
    with running(var) as run:
        tasks = _post_all(run)
        _wait_until_all_completed(run, tasks)
        base = f"http://127.0.0.1:{run.dashboard_port}"
        wait_for(lambda: _status(base) == 401)
        passwords = urllib.request.HTTPPasswordMgrWithDefaultRealm()
        passwords.add_password(None, base, "vignette", (var / "dashboard-password").read_text().strip())
        opener = urllib.request.build_opener(urllib.request.HTTPBasicAuthHandler(passwords))

        def show(path: str) -> Any:
            with opener.open(f"{base}/0/data/{path}.json", timeout=10) as answer:
                return json.loads(answer.read())

        assert {queue["name"] for queue in show("queues")["queues"]} == {"heavy", "normal", "light"}
        assert [worker["queues"] for worker in show("workers")["workers"]] == [["heavy", "normal", "light"]]
        shown = {job["description"] for job in show("jobs/normal/finished/100/asc/1")["jobs"]}
        assert shown == {f"image {task}" for task in tasks}


def _status(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code
