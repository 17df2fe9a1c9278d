"""Reconcile: whatever is unfinished comes back into the queue, once."""

import asyncio
import uuid

import pytest
import redis

from jobs.core import reconcile
from jobs.core.database import Database
from jobs.core.images import ImageOptions, claim_image, submit_image
from jobs.core.queue_client import Queues
from jobs.core.queues import NORMAL
from jobs.core.reconcile import send_failed_images_again
from jobs.core.retries import NORMAL as POLICY
from jobs.core.users import User
from tests.conftest import Shelf, Sql

Account = tuple[User, str]
NOTHING = {"expired_leases": 0, "worker_lost": 0, "missing_jobs": 0, "ghost_jobs": 0}


async def reconcile_images(database: Database, queues: Queues) -> dict[str, int]:
    return await reconcile.reconcile_images(database, queues, overdue_s=10)


async def _submit_all(database: Database, alice: Account, shelf: Shelf) -> list[uuid.UUID]:
    options = ImageOptions()
    return [(await submit_image(database, alice[0].id, each, options)).image.id for each in shelf.description_ids]


def _age(sql: Sql) -> None:
    sql(
        "UPDATE generated_images SET enqueued_at = enqueued_at - interval '1 hour',"
        " next_attempt_at = next_attempt_at - interval '1 hour',"
        " lease_expires_at = lease_expires_at - interval '1 hour'"
    )


async def test_a_row_without_a_job_is_enqueued(
    database: Database, queues: Queues, alice: Account, shelf: Shelf, sql: Sql
) -> None:
    ids = await _submit_all(database, alice, shelf)
    assert await reconcile_images(database, queues) == NOTHING  # their enqueue may be under way
    _age(sql)
    assert await reconcile_images(database, queues) == NOTHING | {"missing_jobs": 3}
    assert queues.list_queued_ids(NORMAL) == {str(each) for each in ids}


async def test_a_row_in_the_queue_is_left_alone(
    database: Database, queues: Queues, alice: Account, shelf: Shelf, sql: Sql, redis_client: redis.Redis
) -> None:
    for image_id in await _submit_all(database, alice, shelf):
        assert queues.enqueue_image(str(image_id), policy=POLICY)
    _age(sql)
    assert await reconcile_images(database, queues) == NOTHING
    assert redis_client.llen("rq:queue:normal") == 3


async def test_two_reconciles_at_once_enqueue_each_row_once(
    database: Database, queues: Queues, alice: Account, shelf: Shelf, sql: Sql, redis_client: redis.Redis
) -> None:
    await _submit_all(database, alice, shelf)
    _age(sql)
    found = await asyncio.gather(*(reconcile_images(database, queues) for _ in range(5)))
    assert sum(each["missing_jobs"] for each in found) == 3
    assert redis_client.llen("rq:queue:normal") == 3


async def test_a_job_popped_and_lost_is_enqueued_again(
    database: Database, queues: Queues, alice: Account, shelf: Shelf, sql: Sql, redis_client: redis.Redis
) -> None:
    [image_id, *_] = await _submit_all(database, alice, shelf)
    queues.enqueue_image(str(image_id), policy=POLICY)
    assert redis_client.lpop("rq:queue:normal") == str(image_id)
    assert not queues.enqueue_image(str(image_id), policy=POLICY)  # its hash is still there
    _age(sql)
    await reconcile_images(database, queues)
    assert str(image_id) in queues.list_queued_ids(NORMAL)


async def test_a_dead_workers_image_goes_round_again_and_is_given_up_after_six(
    database: Database, queues: Queues, alice: Account, shelf: Shelf, sql: Sql
) -> None:
    [image_id, *_] = await _submit_all(database, alice, shelf)
    for _ in range(reconcile.MAX_LOST - 1):
        assert await claim_image(database, image_id, lease_s=-1)
        assert await reconcile_images(database, queues) == NOTHING | {"expired_leases": 1}
        assert str(image_id) in queues.list_queued_ids(NORMAL)
    assert await claim_image(database, image_id, lease_s=-1)
    assert await reconcile_images(database, queues) == NOTHING | {"worker_lost": 1}
    [row] = sql("SELECT status, error_code FROM generated_images WHERE id = %s", image_id)
    assert row == {"status": "failed", "error_code": "worker_lost"}


async def test_a_live_lease_is_left_alone(
    database: Database, queues: Queues, alice: Account, shelf: Shelf, sql: Sql
) -> None:
    ids = await _submit_all(database, alice, shelf)
    for image_id in ids:
        await claim_image(database, image_id, lease_s=3600)
    sql("UPDATE generated_images SET enqueued_at = enqueued_at - interval '1 hour'")
    assert await reconcile_images(database, queues) == NOTHING


async def test_after_flushall_the_whole_queue_comes_back(
    database: Database, queues: Queues, alice: Account, shelf: Shelf, sql: Sql, redis_client: redis.Redis
) -> None:
    for image_id in await _submit_all(database, alice, shelf):
        queues.enqueue_image(str(image_id), policy=POLICY)
    redis_client.flushall()
    _age(sql)
    assert await reconcile_images(database, queues) == NOTHING | {"missing_jobs": 3}


async def test_more_rows_than_a_batch_are_read_page_by_page(
    database: Database, queues: Queues, alice: Account, shelf: Shelf, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconcile, "_BATCH", 1)
    await _submit_all(database, alice, shelf)
    _age(sql)
    assert await reconcile_images(database, queues) == NOTHING | {"missing_jobs": 3}


async def test_failed_images_go_round_again_but_blocked_ones_and_twins_do_not(
    database: Database, queues: Queues, alice: Account, shelf: Shelf, sql: Sql
) -> None:
    [first, second, third] = await _submit_all(database, alice, shelf)
    sql("UPDATE generated_images SET status = 'failed', stage = 'failed', error_code = 'timeout'")
    sql("UPDATE generated_images SET error_code = 'blocked' WHERE id = %s", third)
    await submit_image(database, alice[0].id, shelf.description_ids[1], ImageOptions())  # asked for again already
    assert second != first
    assert await send_failed_images_again(database, queues, older_than_s=0, limit=10) == 1
    assert queues.list_queued_ids(NORMAL) == {str(first)}
    assert await send_failed_images_again(database, queues, older_than_s=0, limit=10) == 0


async def test_the_ghost_of_a_worker_that_died_is_deleted_even_where_its_record_has_run_out(
    database: Database, queues: Queues, alice: Account, shelf: Shelf, sql: Sql, redis_client: redis.Redis
) -> None:
    over, gone, alive = (str(each) for each in await _submit_all(database, alice, shelf))
    for each in (over, alive):
        queues.enqueue_image(each, policy=POLICY)
        redis_client.hset(f"rq:job:{each}", "status", "started")
        redis_client.zadd(f"rq:executions:{each}", {"run": 10**12})  # the execution's own hash is not there
    for each in (over, gone, alive):
        redis_client.zadd("rq:wip:normal", {f"{each}:run": 10**12})
    sql("UPDATE generated_images SET status = 'failed', error_code = 'timeout' WHERE id = %s", over)
    sql("UPDATE generated_images SET updated_at = updated_at - interval '1 hour'")
    sql("DELETE FROM generated_images WHERE id = %s", gone)
    assert await reconcile_images(database, queues) == NOTHING | {"ghost_jobs": 2}
    assert redis_client.zrange("rq:wip:normal", 0, -1) == [f"{alive}:run"]
    assert not redis_client.exists(f"rq:job:{over}")
    expired = "status = 'generating', attempt = 1, lease_expires_at = now() - interval '1 s'"
    sql(f"UPDATE generated_images SET {expired} WHERE id = %s", alive)
    assert (await reconcile_images(database, queues))["expired_leases"] == 1
    assert redis_client.zcard("rq:wip:normal") == 0
    assert alive in queues.list_queued_ids(NORMAL)
