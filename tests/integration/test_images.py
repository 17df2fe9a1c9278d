"""The guarded changes of an image's state."""

import asyncio
import uuid

import psycopg
import pytest

from jobs.core.database import Database
from jobs.core.errors import NotFound
from jobs.core.images import (
    ClaimedImage,
    ImageOptions,
    claim_image,
    complete_image,
    fail_image,
    find_image,
    renew_leases,
    retry_image,
    start_saving,
    submit_image,
)
from jobs.core.states import ImageStatus
from jobs.core.users import User
from jobs.launcher.servers import Servers
from tests.conftest import Shelf, Sql, wait_until

OPTIONS = ImageOptions()
Account = tuple[User, str]


async def _submit(database: Database, alice: Account, shelf: Shelf, index: int = 0) -> uuid.UUID:
    submission = await submit_image(database, alice[0].id, shelf.description_ids[index], OPTIONS)
    return submission.image.id


async def _claim(database: Database, image_id: uuid.UUID) -> ClaimedImage:
    claimed = await claim_image(database, image_id, lease_s=20)
    assert claimed is not None
    return claimed


async def _complete(database: Database, image_id: uuid.UUID, attempt: int) -> bool:
    return await complete_image(
        database, image_id, attempt, content_type="image/png", size_bytes=1, width_px=1, height_px=1, duration_s=0.1
    )


async def _retry(database: Database, image_id: uuid.UUID, attempt: int, delay_s: float = 0) -> int | None:
    return await retry_image(
        database, image_id, attempt, max_retries=2, delay_s=delay_s, error_code="timeout", error_message="late"
    )


async def test_second_request_joins_the_picture_in_flight(database: Database, alice: Account, shelf: Shelf) -> None:
    first = await submit_image(database, alice[0].id, shelf.description_ids[0], OPTIONS)
    second = await submit_image(database, alice[0].id, shelf.description_ids[0], OPTIONS)
    assert (first.outcome, second.outcome) == ("created", "joined")
    assert first.image.id == second.image.id


async def test_a_passage_with_a_picture_answers_the_picture(database: Database, alice: Account, shelf: Shelf) -> None:
    image_id = await _submit(database, alice, shelf)
    assert await _complete(database, image_id, (await _claim(database, image_id)).attempt)
    again = await submit_image(database, alice[0].id, shelf.description_ids[0], OPTIONS)
    assert (again.outcome, again.image.id, again.image.status) == ("exists", image_id, ImageStatus.COMPLETED)


async def test_a_failed_picture_may_be_asked_for_again(database: Database, alice: Account, shelf: Shelf) -> None:
    image_id = await _submit(database, alice, shelf)
    attempt = (await _claim(database, image_id)).attempt
    assert await fail_image(database, image_id, attempt, error_code="blocked", error_message="no")
    assert await _submit(database, alice, shelf) != image_id


async def test_fifty_requests_at_once_make_one_row(database: Database, alice: Account, shelf: Shelf, sql: Sql) -> None:
    ids = await asyncio.gather(*(_submit(database, alice, shelf) for _ in range(50)))
    assert len(set(ids)) == 1
    assert sql("SELECT count(*) AS n FROM generated_images") == [{"n": 1}]


async def test_a_request_that_meets_an_uncommitted_one_joins_it(
    database: Database, alice: Account, shelf: Shelf, servers: Servers, sql: Sql
) -> None:
    with psycopg.connect(servers.database_url) as other:  # holds the row, not yet committed
        [row] = other.execute(
            "INSERT INTO generated_images (description_id, user_id) VALUES (%s, %s) RETURNING id",
            (shelf.description_ids[0], alice[0].id),
        )
        submitting = asyncio.create_task(submit_image(database, alice[0].id, shelf.description_ids[0], OPTIONS))
        blocked = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
        await wait_until(lambda: sql(blocked))
        other.commit()
    submission = await submitting
    assert (submission.outcome, submission.image.id) == ("joined", row[0])


async def test_another_users_passage_is_not_found(database: Database, bob: Account, shelf: Shelf) -> None:
    with pytest.raises(NotFound):
        await submit_image(database, bob[0].id, shelf.description_ids[0], OPTIONS)


async def test_an_image_is_claimed_once_however_many_try(database: Database, alice: Account, shelf: Shelf) -> None:
    image_id = await _submit(database, alice, shelf)
    claims = await asyncio.gather(*(claim_image(database, image_id, lease_s=20) for _ in range(20)))
    [claimed] = [claim for claim in claims if claim]
    assert (claimed.attempt, claimed.language, claimed.genre) == (1, "ru", "fairy tale")


async def test_an_attempt_that_lost_its_lease_writes_nothing(
    database: Database, alice: Account, shelf: Shelf, sql: Sql
) -> None:
    image_id = await _submit(database, alice, shelf)
    old = await _claim(database, image_id)
    sql("UPDATE generated_images SET status = 'pending', lease_expires_at = NULL")
    new = await _claim(database, image_id)
    assert not await start_saving(database, image_id, old.attempt, service_used="x", model="x", prompt_used="x")
    assert not await _complete(database, image_id, old.attempt)
    assert not await fail_image(database, image_id, old.attempt, error_code="timeout", error_message="late")
    assert await _retry(database, image_id, old.attempt) is None
    assert await renew_leases(database, {image_id: old.attempt}, lease_s=20) == set()
    assert await renew_leases(database, {image_id: new.attempt}, lease_s=20) == {image_id}
    assert await _complete(database, image_id, new.attempt)
    assert not await _complete(database, image_id, new.attempt)


async def test_an_image_is_not_claimed_before_its_next_attempt_is_due(
    database: Database, alice: Account, shelf: Shelf
) -> None:
    image_id = await _submit(database, alice, shelf)
    assert await _retry(database, image_id, (await _claim(database, image_id)).attempt, delay_s=3600) == 1
    assert await claim_image(database, image_id, lease_s=20) is None
    image = await find_image(database, alice[0].id, image_id)
    assert (image.status, image.stage, image.error_code) == (ImageStatus.PENDING, "retrying", "timeout")


async def test_the_last_retry_is_the_last(database: Database, alice: Account, shelf: Shelf) -> None:
    image_id = await _submit(database, alice, shelf)
    spent = [await _retry(database, image_id, (await _claim(database, image_id)).attempt) for _ in range(2)]
    assert spent == [1, 2]
    assert await _retry(database, image_id, (await _claim(database, image_id)).attempt) is None
