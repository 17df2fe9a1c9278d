"""From a request to a picture through the real worker and a real client, with every kind of failure on the way."""

import asyncio
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

import psutil
import pytest
import redis

from jobs.core.database import Database
from jobs.core.images import ImageOptions, submit_image
from jobs.core.queue_client import Queues
from jobs.core.retries import IMPATIENT
from jobs.core.settings import Settings
from jobs.core.states import RetryPolicyName
from jobs.core.users import User
from tests.conftest import ROOT, Client, ServedStandin, Shelf, Sql, wait_until
from tests.standin import Rule, make_picture

KEY = "AIza-a-secret-key"
Account = tuple[User, str]
Work = Callable[[], Awaitable[str]]


@pytest.fixture
def work(environment: dict[str, str], provider_server: ServedStandin, settings: Any) -> Work:
    """The literal worker command until the queues are empty, drawing through the stand-in; its log."""
    ours = {"GOOGLE_API_KEY": KEY, "GOOGLE_GEMINI_BASE_URL": provider_server.url, "LOG_LEVEL": "DEBUG"}

    async def work() -> str:
        process = await asyncio.create_subprocess_exec(
            "rq", "worker", "--burst", "heavy", "normal", "light",
            cwd=ROOT, env=environment | ours, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        log = (await process.communicate())[0].decode()
        assert process.returncode == 0, log
        assert KEY not in log
        assert "secret provider text" not in log
        assert "Traceback" not in log
        return log

    return work


async def _ask(client: Client, shelf: Shelf, index: int = 0) -> str:
    answer = await client("POST", f"/images/generate/async/{shelf.description_ids[index]}")
    assert answer.status == 202
    task: str = answer.json["task_id"]
    return task


async def _task(client: Client, task: str) -> Any:
    return (await client("GET", f"/images/task/{task}")).json


def _make_due(sql: Sql, redis_client: redis.Redis) -> None:
    """Let the delay of every retry be over: in the row, and in RQ's timetable."""
    sql("UPDATE generated_images SET next_attempt_at = now() WHERE next_attempt_at IS NOT NULL")
    for task in redis_client.zrange("rq:scheduled:normal", 0, -1):
        redis_client.zadd("rq:scheduled:normal", {str(task): 1})


async def test_russian_passages_are_translated_once_each_and_drawn_once_each(
    client: Client, shelf: Shelf, work: Work, provider_server: ServedStandin, sql: Sql
) -> None:
    tasks = [await _ask(client, shelf, index) for index in range(3)]
    await work()
    standin = provider_server.standin
    assert [(await _task(client, task))["status"] for task in tasks] == ["completed"] * 3
    assert (standin.count("picture"), standin.count("text")) == (3, 3)
    [row, *_] = sql("SELECT * FROM generated_images ORDER BY created_at")
    assert row["prompt_used"] == standin.calls[1].prompt
    assert "translated: Ночью" in row["prompt_used"]
    assert (row["service_used"], row["model"], row["model_version"]) == (
        "gemini", "gemini-3.1-flash-image", "gemini-3.1-flash-image-001",
    )  # fmt: skip
    assert (row["input_tokens"], row["output_tokens"]) == (11, 1290)
    assert (await client("GET", f"/images/file/{tasks[0]}")).body == make_picture(0)
    sql("DELETE FROM generated_images")  # the pictures are gone, the translations are not
    for index in range(3):
        await _ask(client, shelf, index)
    await work()
    assert (standin.count("picture"), standin.count("text")) == (6, 3)


async def test_a_busy_provider_is_called_once_an_attempt_and_its_delay_wins(
    client: Client, shelf: Shelf, work: Work, provider_server: ServedStandin, sql: Sql, redis_client: redis.Redis
) -> None:
    provider_server.standin.rules = [Rule(kind="picture", status=429, retry_info="40s", times=2)]
    task = await _ask(client, shelf)
    for attempt in (1, 2):
        await work()
        assert provider_server.standin.count("picture") == attempt
        waiting = await _task(client, task)
        assert (waiting["status"], waiting["stage"], waiting["retry_count"]) == ("pending", "retrying", attempt)
        assert waiting["error_code"] == "provider_busy"
        [due] = sql("SELECT extract(epoch FROM next_attempt_at - updated_at) AS s FROM generated_images")
        assert float(due["s"]) == 40
        score = redis_client.zscore("rq:scheduled:normal", task)
        [late] = sql("SELECT %s - extract(epoch FROM next_attempt_at) AS s FROM generated_images", score)
        assert 0 <= float(late["s"]) < 4  # RQ's whole seconds must not come before the row is due
        await work()
        assert provider_server.standin.count("picture") == attempt  # not before it is due
        _make_due(sql, redis_client)
    await work()
    done = await _task(client, task)
    assert (done["status"], done["retry_count"]) == ("completed", 2)
    assert "error" not in done
    assert (provider_server.standin.count("picture"), provider_server.standin.count("text")) == (3, 1)


async def test_the_last_failure_ends_the_task_with_a_sentence(
    client: Client, shelf: Shelf, work: Work, provider_server: ServedStandin, sql: Sql, redis_client: redis.Redis
) -> None:
    provider_server.standin.rules = [Rule(kind="picture", status=503)]
    task = await _ask(client, shelf)
    for _ in range(6):
        await work()
        _make_due(sql, redis_client)
    await work()
    failed = await _task(client, task)
    assert (failed["status"], failed["error_code"], failed["retry_count"]) == ("failed", "provider_unavailable", 5)
    assert failed["error"] == "The picture service cannot answer now (503)."
    assert provider_server.standin.count("picture") == 6
    assert redis_client.zrange("rq:failed:normal", 0, -1) == [task]


@pytest.mark.parametrize(
    ("rule", "code"),
    [
        (Rule(kind="picture", finish_reason="IMAGE_SAFETY"), "blocked"),
        (Rule(kind="picture", status=400), "provider_rejected"),
        (Rule(kind="picture", status=403), "provider_rejected"),
    ],
    ids=["blocked", "bad request", "bad key"],
)
async def test_a_permanent_error_is_not_retried(
    client: Client, shelf: Shelf, work: Work, provider_server: ServedStandin, rule: Rule, code: str
) -> None:
    provider_server.standin.rules = [rule]
    task = await _ask(client, shelf)
    await work()
    await work()
    failed = await _task(client, task)
    assert (failed["status"], failed["error_code"], failed["retry_count"]) == ("failed", code, 0)
    assert provider_server.standin.count("picture") == 1


@pytest.mark.parametrize("body", ["broken picture", "empty"])
async def test_bytes_that_are_no_picture_are_tried_again_and_never_kept(
    client: Client,
    shelf: Shelf,
    work: Work,
    provider_server: ServedStandin,
    sql: Sql,
    redis_client: redis.Redis,
    body: Any,
) -> None:
    provider_server.standin.rules = [Rule(kind="picture", body=body, times=1)]
    task = await _ask(client, shelf)
    await work()
    assert (await _task(client, task))["error_code"] == "bad_picture"
    _make_due(sql, redis_client)
    await work()
    assert (await client("GET", f"/images/file/{task}")).body == make_picture(0)


async def test_a_failed_translation_draws_the_original_and_says_so(
    client: Client, shelf: Shelf, work: Work, provider_server: ServedStandin
) -> None:
    provider_server.standin.rules = [Rule(kind="text", status=500)]
    task = await _ask(client, shelf)
    log = await work()
    prompt = (await _task(client, task))["result"]["prompt_used"]
    assert "Ночью над озером" in prompt
    assert prompt.endswith("(The passage was not translated: provider_unavailable.)")
    assert '"outcome": "failed"' in log


async def test_a_request_that_waits_is_retried_impatiently(
    database: Database, queues: Queues, alice: Account, shelf: Shelf, work: Work,
    provider_server: ServedStandin, sql: Sql, redis_client: redis.Redis,
) -> None:  # fmt: skip
    provider_server.standin.rules = [Rule(kind="picture", status=503)]
    options = ImageOptions(retry_policy=RetryPolicyName.IMPATIENT)
    image_id: uuid.UUID = (await submit_image(database, alice[0].id, shelf.description_ids[0], options)).image.id
    queues.enqueue_image(str(image_id), policy=IMPATIENT)
    delays = []
    for _ in range(4):
        await work()
        [row] = sql("SELECT status, round(extract(epoch FROM next_attempt_at - updated_at)) AS s FROM generated_images")
        delays.append(row["s"] and int(row["s"]))
        _make_due(sql, redis_client)
    assert delays == [2, 4, 8, None]
    assert row["status"] == "failed"
    assert provider_server.standin.count("picture") == 4


async def test_a_full_store_is_retried_by_the_policy_and_keeps_no_half_a_picture(
    client: Client, shelf: Shelf, work: Work, provider_server: ServedStandin, environment: dict[str, str],
    settings: Settings, sql: Sql, redis_client: redis.Redis,
) -> None:  # fmt: skip
    provider_server.standin.rules = [Rule(kind="picture", size_bytes=500_000)]
    ours = {"GOOGLE_API_KEY": KEY, "GOOGLE_GEMINI_BASE_URL": provider_server.url}
    worker = await asyncio.create_subprocess_exec(
        "rq", "worker", "heavy", "normal", "light", cwd=ROOT, env=environment | ours, stderr=asyncio.subprocess.DEVNULL
    )
    await wait_until(lambda: redis_client.scard("rq:workers") == 1)
    # No file of its work horses may grow larger: to the store the same as a full disk.
    psutil.Process(worker.pid).rlimit(psutil.RLIMIT_FSIZE, (100_000, 100_000))
    task = await _ask(client, shelf)
    waiting: Any = await wait_until(lambda: _failed_once(client, task))
    worker.terminate()
    await worker.wait()
    assert (waiting["status"], waiting["error_code"]) == ("pending", "store_unavailable")
    assert str(settings.var) not in str(waiting)
    assert list((settings.var / "images").iterdir()) == []
    _make_due(sql, redis_client)
    await work()
    assert (await client("GET", f"/images/file/{task}")).body == make_picture(500_000)


async def _failed_once(client: Client, task: str) -> Any:
    shown = await _task(client, task)
    return shown if "error_code" in shown else None
