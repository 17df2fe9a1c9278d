"""One way of dying each: real processes, real servers, a provider that counts its calls.

One running copy serves them all, since a copy that has come through a fault must be as good as new for the next.
"""

import json
import os
import signal
import subprocess
import threading
import urllib.error
import urllib.request
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import psutil
import psycopg
import pytest
import redis

from jobs.launcher.children import find_free_port
from tests.acceptance.test_launcher import Run, processes_of, running
from tests.conftest import PYTHON, ROOT, wait_for

# The product's own numbers, five times as fast.
FAST = {"LEASE_S": "4", "RECONCILE_EVERY_S": "3", "PROVIDER_TIMEOUT_S": "6"}
COMPLETED_S = 90.0
HOLD = 4242


class Provider:
    """The stand-in for Google, in a process of its own."""

    def __init__(self, url: str) -> None:
        self._url = url

    def script(self, *rules: dict[str, object]) -> None:
        """What to answer."""
        self._request("/script", json.dumps(rules).encode())

    def reset(self) -> None:
        """Forget all calls and rules."""
        self._request("/reset", b"")

    def calls(self, kind: str = "picture") -> list[dict[str, Any]]:
        """The calls so far."""
        return [call for call in json.loads(self._request("/calls")) if call["kind"] == kind]

    def _request(self, path: str, data: bytes | None = None) -> bytes:
        with urllib.request.urlopen(urllib.request.Request(self._url + path, data), timeout=10) as answer:
            body: bytes = answer.read()
        return body


class Copy:
    """A running copy, its provider and its servers."""

    def __init__(self, run: Run, provider: Provider) -> None:
        self.run, self.provider = run, provider

    @property
    def servers(self) -> dict[str, str]:
        """Where its servers are."""
        found: dict[str, str] = json.loads((self.run.var / "servers.json").read_text())
        return found

    @contextmanager
    def redis(self) -> Iterator[redis.Redis]:
        """A client of its Redis."""
        with closing(redis.Redis.from_url(self.servers["redis_url"], decode_responses=True)) as client:
            yield client

    @contextmanager
    def postgres(self) -> Iterator["psycopg.Connection[tuple[Any, ...]]"]:
        """A connection to its Postgres."""
        with psycopg.connect(self.servers["database_url"], autocommit=True) as connection:
            yield connection

    def processes(self, *words: str) -> list[psutil.Process]:
        """Its processes with these words in their command line."""
        found = []
        for process in processes_of(self.run.var):
            try:
                line = " ".join(process.cmdline())
            except psutil.NoSuchProcess:
                continue
            if all(word in line for word in words) and "keep.sh" not in line:
                found.append(process)
        return found

    def worker(self) -> psutil.Process:
        """The worker itself: the parent of its scheduler and its work horse."""
        found: list[psutil.Process] = wait_for(self._find_workers)
        return found[0]

    def _find_workers(self) -> list[psutil.Process]:
        workers = self.processes("rq worker")
        pids = {each.pid for each in workers}
        return [each for each in workers if each.ppid() not in pids and _parent_is_keeper(each)]

    def kill_worker(self, *, with_children: bool = True) -> None:
        """SIGKILL the worker; by default with its work horse and scheduler."""
        worker = self.worker()
        victims = [worker, *(worker.children(recursive=True) if with_children else [])]
        for each in victims:
            each.kill()
        psutil.wait_procs(victims, timeout=10)

    def ask(self, count: int = 1) -> list[str]:
        """Ask for pictures of that many new passages; the tasks."""
        texts = [f"Ночью над озером номер {uuid.uuid4()} стоял замок." for _ in range(count)]
        descriptions = [{"type": "location", "content": text} for text in texts]
        book = {
            "title": "Т",
            "language": "ru",
            "chapters": [{"content": " ".join(texts), "descriptions": descriptions}],
        }
        status, made = self.run.ask("POST", "/books", book)
        assert status == 201
        chapter = self.run.ask("GET", f"/chapters/{made['chapters'][0]['id']}")[1]
        self.passages = [each["id"] for each in chapter["descriptions"]]
        return [self.run.ask("POST", f"/images/generate/async/{each}")[1]["task_id"] for each in self.passages]

    def task(self, task: str) -> Any:
        """A task, when the web process answers."""
        status, body = self.run.ask("GET", f"/images/task/{task}")
        return body if status == 200 else {"status": f"{status}"}

    def assert_all_delivered(self, tasks: list[str], *, most_calls: int) -> None:
        """Every task is completed once, paid for no more than it must be, and nothing is left in flight anywhere."""
        wait_for(lambda: all(self.task(task)["status"] == "completed" for task in tasks), COMPLETED_S)
        assert len(self.provider.calls()) <= most_calls
        with self.postgres() as connection:
            rows = connection.execute("SELECT count(*) FROM generated_images WHERE status IN ('pending', 'generating')")
            assert rows.fetchone() == (0,)
        with self.redis() as client:
            wait_for(lambda: client.zcard("rq:wip:normal") == 0 and client.llen("rq:queue:normal") == 0, COMPLETED_S)
        for task in tasks:
            assert self.run.ask("GET", f"/images/file/{task}")[1].startswith(b"\x89PNG")


def _parent_is_keeper(process: psutil.Process) -> bool:
    parent = process.parent()
    return parent is not None and "keep.sh" in " ".join(parent.cmdline())


@pytest.fixture(scope="module")
def fresh_copy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Copy]:
    var: Path = tmp_path_factory.mktemp("faults") / "var"
    for folder in list(var.parents)[:3]:
        folder.chmod(folder.stat().st_mode | 0o001)
    port = find_free_port()
    url = f"http://127.0.0.1:{port}"
    with subprocess.Popen([PYTHON, "-m", "tests.standin", "--port", str(port)], cwd=ROOT) as standin:
        provider = Provider(url)
        wait_for(lambda: provider.calls() == [])
        with running(var, {"GOOGLE_API_KEY": "k", "GOOGLE_GEMINI_BASE_URL": url, **FAST}) as run:
            yield Copy(run, provider)
        assert processes_of(var) == []
        standin.kill()  # it would wait for the requests that it still holds


@pytest.fixture
def copy(fresh_copy: Copy) -> Copy:
    fresh_copy.provider.reset()
    wait_for(lambda: fresh_copy.run.ask("GET", "/readyz")[0] == 200, COMPLETED_S)
    return fresh_copy


@contextmanager
def completion_held(copy: Copy) -> Iterator[Callable[[], None]]:
    """Hold every attempt between its stored bytes and its completed row; call what it gives to let them go on."""
    with copy.postgres() as connection:

        def let_go() -> None:
            connection.execute("SELECT pg_advisory_unlock_all()")

        connection.execute("SELECT pg_advisory_lock(%s)", (HOLD,))
        connection.execute(
            f"CREATE OR REPLACE FUNCTION hold_completion() RETURNS trigger LANGUAGE plpgsql AS"
            f" $$ BEGIN PERFORM pg_advisory_xact_lock({HOLD}); RETURN NEW; END $$;"
            " CREATE TRIGGER hold_completion BEFORE UPDATE ON generated_images FOR EACH ROW"
            " WHEN (NEW.status = 'completed') EXECUTE FUNCTION hold_completion()".encode()
        )
        try:
            yield let_go
        finally:
            let_go()
            connection.execute("DROP TRIGGER hold_completion ON generated_images")


def _waiting_to_complete(copy: Copy) -> list[int]:
    """The Postgres processes of attempts that are held there."""
    with copy.postgres() as connection:
        rows = connection.execute("SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND NOT granted").fetchall()
    return [row[0] for row in rows]


def test_worker_killed_with_jobs_waiting(copy: Copy) -> None:
    copy.provider.script({"kind": "picture", "delay_s": 0.5})
    tasks = copy.ask(4)
    copy.kill_worker()
    copy.assert_all_delivered(tasks, most_calls=4 + 1)


def test_worker_killed_in_translation(copy: Copy) -> None:
    copy.provider.script({"kind": "text", "delay_s": 3, "times": 1})
    tasks = copy.ask(1)
    wait_for(lambda: copy.provider.calls("text"))
    copy.kill_worker()
    copy.assert_all_delivered(tasks, most_calls=1)


def test_worker_killed_in_the_provider_call(copy: Copy) -> None:
    copy.provider.script({"kind": "picture", "delay_s": 2.5, "times": 1})
    tasks = copy.ask(2)
    wait_for(copy.provider.calls)
    copy.kill_worker()
    copy.assert_all_delivered(tasks, most_calls=2 + 1)


def test_worker_alone_killed_its_work_horse_finishes(copy: Copy) -> None:
    copy.provider.script({"kind": "picture", "delay_s": 2, "times": 1})
    tasks = copy.ask(1)
    wait_for(copy.provider.calls)
    copy.kill_worker(with_children=False)
    copy.assert_all_delivered(tasks, most_calls=1)


def test_work_horse_killed(copy: Copy) -> None:
    copy.provider.script({"kind": "picture", "delay_s": 2.5, "times": 1})
    tasks = copy.ask(1)
    wait_for(copy.provider.calls)
    with copy.redis() as client:
        [execution] = client.zrange("rq:wip:normal", 0, -1)
    assert str(execution).startswith(tasks[0])
    worker = copy.worker()
    [horse] = [each for each in worker.children() if each.pid == os.getpgid(each.pid)]
    horse.kill()
    copy.assert_all_delivered(tasks, most_calls=1 + 1)


def test_worker_killed_after_the_bytes_are_stored(copy: Copy) -> None:
    with completion_held(copy):
        tasks = copy.ask(1)
        [backend] = wait_for(lambda: _waiting_to_complete(copy))
        assert (copy.run.var / "images" / tasks[0]).exists()
        copy.kill_worker()
        with copy.postgres() as connection:
            connection.execute("SELECT pg_terminate_backend(%s)", (backend,))
    copy.assert_all_delivered(tasks, most_calls=1)
    with copy.postgres() as connection:
        row = connection.execute("SELECT attempt FROM generated_images WHERE id = %s", (tasks[0],)).fetchone()
    assert row == (2,)


def test_worker_killed_after_the_row_is_completed(copy: Copy) -> None:
    with completion_held(copy) as let_go, copy.redis() as client:
        tasks = copy.ask(1)
        wait_for(lambda: _waiting_to_complete(copy))
        client.client_pause(3000)  # RQ's own bookkeeping waits
        let_go()
        wait_for(lambda: _status_of(copy, tasks[0]) == "completed")
        copy.kill_worker()
    copy.assert_all_delivered(tasks, most_calls=1)


def _status_of(copy: Copy, task: str) -> str:
    with copy.postgres() as connection:
        row = connection.execute("SELECT status FROM generated_images WHERE id = %s", (task,)).fetchone()
    assert row is not None
    return str(row[0])


def test_web_killed_between_commit_and_enqueue(copy: Copy) -> None:
    [done] = copy.ask(1)
    copy.assert_all_delivered([done], most_calls=1)
    [passage] = copy.passages
    with copy.postgres() as connection:
        connection.execute("DELETE FROM generated_images")
    with copy.redis() as client:
        client.client_pause(4000, all=False)  # reads go on, the enqueue waits
        with pytest.raises((urllib.error.URLError, OSError)):
            _post_until(copy, passage)
    with copy.postgres() as connection:
        rows = connection.execute("SELECT id::text FROM generated_images").fetchall()
    copy.assert_all_delivered([row[0] for row in rows], most_calls=2)
    assert len(rows) == 1


def _post_until(copy: Copy, passage: str) -> None:
    """Post, and kill the web process as soon as the row is there."""

    def kill() -> None:
        with copy.postgres() as connection:
            wait_for(lambda: connection.execute("SELECT 1 FROM generated_images").fetchone())
        for each in copy.processes("uvicorn"):
            each.kill()

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        copy.run.ask("POST", f"/images/generate/async/{passage}")
    finally:
        killer.join()


def test_job_popped_and_lost(copy: Copy) -> None:
    worker = copy.worker()
    worker.suspend()  # its connection still takes the job
    tasks = copy.ask(1)
    with copy.redis() as client:
        wait_for(lambda: client.llen("rq:queue:normal") == 0)
    copy.kill_worker()
    copy.assert_all_delivered(tasks, most_calls=1)


def test_redis_flushed(copy: Copy) -> None:
    copy.provider.script({"kind": "picture", "delay_s": 0.5})
    tasks = copy.ask(4)
    wait_for(copy.provider.calls)
    with copy.redis() as client:
        client.flushall()
    copy.assert_all_delivered(tasks, most_calls=4 + 1)
    with copy.redis() as client:
        wait_for(lambda: client.zcard("rq:scheduler:scheduled_jobs") == 1)


@pytest.mark.parametrize("server", ["redis", "postgres"])
def test_server_killed_and_restarted(copy: Copy, server: str) -> None:
    copy.provider.script({"kind": "picture", "delay_s": 0.5})
    tasks = copy.ask(4)
    wait_for(copy.provider.calls)
    path = str(copy.run.var)
    victims = copy.processes("redis-server") if server == "redis" else copy.processes("postgres", "-D", path)
    for each in victims:
        each.kill()
    psutil.wait_procs(victims, timeout=10)
    copy.assert_all_delivered(tasks, most_calls=4 + 1)


def test_provider_silent_past_every_timeout(copy: Copy) -> None:
    copy.provider.script({"kind": "picture", "delay_s": 60, "times": 1})
    tasks = copy.ask(1)
    task = wait_for(lambda: (found := copy.task(tasks[0]))["status"] == "pending" and found.get("error_code") and found)
    assert (task["error_code"], task["retry_count"]) == ("provider_unavailable", 1)
    with copy.postgres() as connection:
        connection.execute("UPDATE generated_images SET next_attempt_at = now() WHERE id = %s", (tasks[0],))
    copy.assert_all_delivered(tasks, most_calls=2)


def test_a_running_task_is_cancelled_within_two_seconds_and_its_connection_closed(copy: Copy) -> None:
    copy.provider.script({"kind": "picture", "delay_s": 2.9})
    [task] = copy.ask(1)
    wait_for(copy.provider.calls)
    worker = copy.worker()
    [horse] = [each for each in worker.children() if each.pid == os.getpgid(each.pid)]
    status, cancelled = copy.run.ask("DELETE", f"/images/task/{task}")
    assert (status, cancelled["error_code"]) == (200, "cancelled")
    horse.wait(timeout=2)  # and with the process goes its connection
    assert copy.task(task)["error_code"] == "cancelled"
    assert not (copy.run.var / "images" / task).exists()
    tasks = copy.ask(1)
    copy.assert_all_delivered(tasks, most_calls=2)
    assert copy.task(task)["error_code"] == "cancelled"


def test_a_stopped_worker_hands_its_picture_to_the_next(copy: Copy) -> None:
    copy.provider.script({"kind": "picture", "delay_s": 60, "times": 1})
    tasks = copy.ask(1)
    wait_for(copy.provider.calls)
    copy.worker().send_signal(signal.SIGTERM)  # `make run` gives it 3 s; the provider's time-out comes after 6
    copy.assert_all_delivered(tasks, most_calls=2)
    assert "hand_back_image" in copy.run.output
    with copy.postgres() as connection:
        row = connection.execute("SELECT attempt, retry_count, lost_count FROM generated_images WHERE id = %s", tasks)
        assert row.fetchone() == (2, 0, 0)
