"""Cancelling a waiting and a retrying task; the running one is in tests/acceptance."""

import asyncio
from collections.abc import Callable
from uuid import UUID

import redis

from jobs.core.database import Database
from jobs.core.errors import LeaseLost
from jobs.core.images import claim_image
from jobs.core.queue_client import Queues
from jobs.core.reconcile import reconcile_images, send_failed_images_again
from jobs.core.retries import NORMAL
from jobs.tasks.leases import LeaseKeeper
from tests.conftest import Client, Shelf, Sql

Work = Callable[[], str]


async def _ask(client: Client, shelf: Shelf) -> str:
    task: str = (await client("POST", f"/images/generate/async/{shelf.description_ids[0]}")).json["task_id"]
    return task


async def test_a_waiting_task_leaves_the_queue_and_nothing_revives_it(
    client: Client, shelf: Shelf, work: Work, database: Database, queues: Queues, sql: Sql, redis_client: redis.Redis
) -> None:
    task = await _ask(client, shelf)
    cancelled = await client("DELETE", f"/images/task/{task}")
    assert cancelled.status == 200
    assert (cancelled.json["status"], cancelled.json["error_code"]) == ("failed", "cancelled")
    assert redis_client.llen("rq:queue:normal") == 0
    assert not redis_client.exists(f"rq:job:{task}")
    again = await client("DELETE", f"/images/task/{task}")
    assert (again.status, again.json["code"]) == (409, "task_over")
    sql("UPDATE generated_images SET updated_at = updated_at - interval '1 day', enqueued_at = '2020-01-01'")
    await reconcile_images(database, queues, overdue_s=0)
    assert await send_failed_images_again(database, queues, older_than_s=0, limit=10) == 0
    queues.enqueue_image(task, policy=NORMAL, again=True)  # an operator requeues it in rq-dashboard
    work()
    after = (await client("GET", f"/images/task/{task}")).json
    assert after | {"updated_at": None} == cancelled.json | {"updated_at": None}


async def test_a_retrying_task_leaves_the_timetable(
    client: Client, shelf: Shelf, redis_client: redis.Redis, sql: Sql
) -> None:
    task = await _ask(client, shelf)
    assert redis_client.lpop("rq:queue:normal") == task
    sql("UPDATE generated_images SET next_attempt_at = now() + interval '1 hour', stage = 'retrying'")
    redis_client.zadd("rq:scheduled:normal", {task: 10**10})
    redis_client.hset(f"rq:job:{task}", "status", "scheduled")
    assert (await client("DELETE", f"/images/task/{task}")).status == 200
    assert redis_client.zcard("rq:scheduled:normal") == 0
    assert not redis_client.exists(f"rq:job:{task}")


async def test_an_attempt_that_nobody_can_stop_ends_when_it_renews_its_lease(
    client: Client, shelf: Shelf, database: Database
) -> None:
    task = await _ask(client, shelf)
    claimed = await claim_image(database, UUID(task), lease_s=20)
    assert claimed is not None
    leases = LeaseKeeper(database, lease_s=0.2)
    ended = asyncio.Event()

    async def attempt() -> str:
        try:
            async with leases.hold(claimed.id, claimed.attempt):
                ended.set()
                await asyncio.sleep(3600)
        except LeaseLost:
            return "lost"
        return "finished"

    async with leases.running():
        running = asyncio.create_task(attempt())
        await ended.wait()
        assert (await client("DELETE", f"/images/task/{task}")).status == 200
        assert await asyncio.wait_for(running, 10) == "lost"
