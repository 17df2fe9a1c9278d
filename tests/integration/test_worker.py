"""The literal worker command, the job class, and the timetable."""

import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
import redis
import rq

from jobs.core.errors import ForbiddenJob
from jobs.core.queue_client import Queues
from jobs.core.queues import GENERATE_IMAGE, TASKS, Job, Queue
from jobs.core.retries import NORMAL as POLICY
from jobs.core.settings import Settings
from jobs.core.storage import ImageStore
from jobs.launcher.servers import Servers
from jobs.schedule import Scheduler, make_timetable
from tests.conftest import Client, Shelf, Sql

Work = Callable[[], str]


async def test_a_passage_becomes_a_picture(
    client: Client, shelf: Shelf, work: Work, store: ImageStore, redis_client: redis.Redis
) -> None:
    path = f"/images/generate/async/{shelf.description_ids[0]}"
    task = (await client("POST", path)).json["task_id"]
    log = work()
    assert "замок" not in log
    done = (await client("GET", f"/images/task/{task}")).json
    assert done["status"] == "completed"
    picture = await client("GET", done["result"]["image_url"])
    assert picture.headers["content-type"] == "image/png"
    assert picture.body == await store.get_image(task)
    etag = picture.headers["etag"]
    assert (await client("GET", done["result"]["image_url"], headers={"If-None-Match": etag})).status == 304
    assert (await client("GET", f"/images/description/{shelf.description_ids[0]}")).json == done["result"]
    again = await client("POST", path)
    assert (again.status, again.json["code"], again.json["image"]) == (409, "already_illustrated", done["result"])
    chapter = (await client("GET", f"/chapters/{shelf.chapter_id}")).json
    assert chapter["descriptions"][0]["image"]["image_url"] == done["result"]["image_url"]
    assert redis_client.zcard("rq:finished:normal") == 1


async def test_a_picture_kept_by_a_dead_attempt_is_used_and_not_drawn_again(
    client: Client, shelf: Shelf, work: Work, store: ImageStore, sql: Sql, queues: Queues
) -> None:
    paths = [f"/images/generate/async/{each}" for each in shelf.description_ids[:2]]
    [kept, other] = [(await client("POST", path)).json["task_id"] for path in paths]
    work()
    data = await store.get_image(other)
    assert data is not None
    await store.delete_image(kept)
    await store.put_image(kept, data)  # as if the first attempt had drawn just this, and died before its last write
    sql(
        "UPDATE generated_images SET status = 'generating', stage = 'saving',"
        " lease_expires_at = now() - interval '1 s' WHERE id = %s",
        kept,
    )
    work()
    task = (await client("GET", f"/images/task/{kept}")).json
    assert task["status"] == "completed"
    assert (await client("GET", f"/images/file/{kept}")).body == data


async def test_a_job_that_names_another_function_is_refused(
    servers: Servers, work: Work, redis_client: redis.Redis, tmp_path: Path
) -> None:
    target = tmp_path / "proof"
    raw = redis.Redis.from_url(servers.redis_url)
    queue = rq.Queue("light", connection=raw, serializer="json")
    queue.enqueue("os.mkdir", str(target), job_id="hostile")
    pickled = rq.Queue("normal", connection=raw)
    pickled.enqueue("os.mkdir", str(target), job_id="pickled")
    ours = rq.Queue("light", connection=raw, serializer="json").create_job(
        "jobs.tasks.housekeeping.reconcile_queue", job_id="callback", on_success=rq.Callback("os.getcwd")
    )
    rq.Queue("light", connection=raw, serializer="json").enqueue_job(ours)
    work()
    assert not target.exists()
    assert set(redis_client.zrange("rq:failed:light", 0, -1)) == {"hostile"}
    assert set(redis_client.zrange("rq:failed:normal", 0, -1)) == {"pickled"}
    assert redis_client.zscore("rq:finished:light", "callback")


def test_only_our_functions_can_be_reached(servers: Servers) -> None:
    connection = redis.Redis.from_url(servers.redis_url)
    for name in ("os.system", "jobs.tasks.images.asyncio.run", "jobs.tasks.images"):
        job = Job.create(name, connection=connection)
        with pytest.raises(ForbiddenJob):
            _ = job.func
    for name in TASKS:
        assert callable(Job.create(name, connection=connection).func)


def test_what_a_failed_job_leaves_in_redis_is_one_line_without_paths(
    servers: Servers, work: Work, redis_client: redis.Redis
) -> None:
    queue = Queue("normal", connection=redis.Redis.from_url(servers.redis_url))
    queue.enqueue(GENERATE_IMAGE, "no uuid", job_id="bad")
    log = work()
    job = Job.fetch("bad", connection=redis.Redis.from_url(servers.redis_url))
    result = job.latest_result()
    shown = (result and result.exc_string) or ""
    assert shown == "ValueError"
    assert '"error": "ValueError at uuid:' in log
    assert "Traceback" not in log


def test_enqueueing_twice_under_one_id_is_one_job(queues: Queues, redis_client: redis.Redis) -> None:
    image_id = str(uuid.uuid4())
    assert queues.enqueue_image(image_id, policy=POLICY)
    assert not queues.enqueue_image(image_id, policy=POLICY)
    assert redis_client.llen("rq:queue:normal") == 1


def test_the_timetable_is_entered_once_comes_back_and_never_piles_up(
    servers: Servers, settings: Settings, work: Work, redis_client: redis.Redis
) -> None:
    timetable = make_timetable(settings)

    def run_due() -> None:
        scheduler = Scheduler(timetable, connection=redis.Redis.from_url(servers.redis_url), interval=1)
        scheduler.enqueue_jobs()
        for job_id in redis_client.zrange("rq:scheduler:scheduled_jobs", 0, -1):
            redis_client.zadd("rq:scheduler:scheduled_jobs", {str(job_id): 1})  # due again at once

    for _ in range(3):
        run_due()
    names = {name.rpartition(".")[2] for name in timetable}
    assert set(redis_client.lrange("rq:queue:light", 0, -1)) == names
    assert redis_client.llen("rq:queue:light") == len(names)
    assert work()
    assert set(redis_client.zrange("rq:finished:light", 0, -1)) == names
    redis_client.flushall()
    run_due()
    assert redis_client.zcard("rq:scheduler:scheduled_jobs") == len(names)


@pytest.mark.parametrize("field", ["meta", "timeout", "created_at", "data", "status", "retry_intervals"])
def test_a_job_with_a_field_that_is_none_is_passed_over(
    servers: Servers, work: Work, redis_client: redis.Redis, field: str
) -> None:
    queue = Queue("light", connection=redis.Redis.from_url(servers.redis_url))
    queue.enqueue("jobs.tasks.housekeeping.reconcile_queue", job_id="spoilt")
    queue.enqueue("jobs.tasks.housekeeping.reconcile_queue", job_id="sound")
    redis_client.hset("rq:job:spoilt", field, "\udcff nonsense".encode(errors="ignore"))
    work()
    assert redis_client.zscore("rq:finished:light", "sound")


async def test_a_picture_that_was_paid_for_is_kept_whatever_happens_next(
    client: Client, shelf: Shelf, work: Work, store: ImageStore, sql: Sql, redis_client: redis.Redis
) -> None:
    task = (await client("POST", f"/images/generate/async/{shelf.description_ids[0]}")).json["task_id"]
    sql("ALTER TABLE generated_images ADD CONSTRAINT no_saving CHECK (stage <> 'saving')")  # its next write fails
    work()
    data = await store.get_image(task)
    assert data is not None
    sql("ALTER TABLE generated_images DROP CONSTRAINT no_saving")
    sql("UPDATE generated_images SET next_attempt_at = now()")
    redis_client.zadd("rq:scheduled:normal", {task: 1})
    work()
    assert (await client("GET", f"/images/file/{task}")).body == data
    assert sql("SELECT attempt FROM generated_images") == [{"attempt": 2}]


async def test_kept_bytes_that_are_no_picture_are_drawn_again(
    client: Client, shelf: Shelf, work: Work, store: ImageStore, sql: Sql
) -> None:
    task = (await client("POST", f"/images/generate/async/{shelf.description_ids[0]}")).json["task_id"]
    await store.put_image(task, b"cut short by a disk")
    sql("UPDATE generated_images SET attempt = 1")
    work()
    assert (await client("GET", f"/images/file/{task}")).body.startswith(b"\x89PNG")
