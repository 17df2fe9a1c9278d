"""Makes the normal queue agree with the table: whatever is unfinished is in the queue, or is being worked on.

It reads what is unfinished, so its cost does not grow with what was ever done: 1 statement for expired leases, 1 for
each 1000 waiting rows, 2 Redis round trips for what the queue holds.
"""

import asyncio
from collections.abc import Iterable
from uuid import UUID

from jobs.core.database import Executor
from jobs.core.errors import Conflict
from jobs.core.images import QueueableImage
from jobs.core.queue_client import Queues
from jobs.core.queues import NORMAL
from jobs.core.retries import IMAGE_POLICIES
from jobs.core.states import ImageStatus

MAX_LOST = 6
"""An image over which this many workers died ends `failed`: it may well be what kills them."""

_BATCH = 1000
_CONFLICT_TRIES = 5
_LOST_MESSAGE = "The picture was given up because the workers that drew it died, again and again."
_NEVER_AGAIN = ["blocked", "cancelled", "expired"]


async def reconcile_images(database: Executor, queues: Queues, *, overdue_s: float) -> dict[str, int]:
    """Send round again what has lost its worker or its job: {expired_leases, worker_lost, missing_jobs, ghost_jobs}.

    What became due, or over, less than `overdue_s` seconds ago is left alone: its enqueue, its claim or its end is
    under way. Safe beside workers, retries and other reconciles: an image that is enqueued twice is claimed once.

    Raises:
        DatabaseUnavailable: Postgres does not answer.
        QueueUnavailable: Redis does not answer; what was put back already is found by the next reconcile.
    """
    expired, lost = await _release_expired_leases(database, queues)
    return {
        "expired_leases": expired,
        "worker_lost": lost,
        "missing_jobs": await _enqueue_missing(database, queues, overdue_s),
        "ghost_jobs": await _delete_ghosts(database, queues, overdue_s),
    }


async def send_failed_images_again(database: Executor, queues: Queues, older_than_s: float, limit: int) -> int:
    """Make failed images pending again and enqueue them; how many there were.

    Raises:
        DatabaseUnavailable: Postgres does not answer.
        QueueUnavailable: Redis does not answer; reconcile will enqueue them.
    """
    for tries_left in reversed(range(_CONFLICT_TRIES)):
        try:
            rows = await database.fetch_all(
                "retry_failed_images", excluded_codes=_NEVER_AGAIN, older_than_s=older_than_s, limit=limit
            )
            break
        except Conflict:  # one of the passages was asked for in just this moment
            if not tries_left:
                raise
    await _enqueue(queues, (QueueableImage(**row) for row in rows))
    return len(rows)


async def _release_expired_leases(database: Executor, queues: Queues) -> tuple[int, int]:
    rows = await database.fetch_all(
        "release_expired_leases", max_lost=MAX_LOST, error_message=_LOST_MESSAGE, limit=_BATCH
    )
    again = [row for row in rows if row.pop("status") == ImageStatus.PENDING]
    await _enqueue(queues, (QueueableImage(**row) for row in again))
    return len(again), len(rows) - len(again)


async def _enqueue_missing(database: Executor, queues: Queues, overdue_s: float) -> int:
    queued: set[str] | None = None
    count = 0
    after_created_at, after_id = None, None
    while True:
        page = await database.fetch_all(
            "list_waiting_images",
            after_created_at=after_created_at,
            after_id=after_id,
            overdue_s=overdue_s,
            limit=_BATCH,
        )
        if not page:
            return count
        if queued is None:
            queued = await asyncio.to_thread(queues.list_queued_ids, NORMAL)
        missing = [row["id"] for row in page if str(row["id"]) not in queued]
        count += await _enqueue_marked(database, queues, missing, overdue_s)
        after_created_at, after_id = page[-1]["created_at"], page[-1]["id"]


async def _delete_ghosts(database: Executor, queues: Queues, overdue_s: float) -> int:
    """Delete the jobs that RQ counts as running although their image is over: their worker died in between."""
    started = {each for each in await asyncio.to_thread(queues.list_started_ids, NORMAL) if _is_uuid(each)}
    if not started:
        return 0
    rows = await database.fetch_all("list_unfinished_ids", image_ids=list(started), over_s=overdue_s)
    ghosts = started - {str(row["id"]) for row in rows}
    await asyncio.to_thread(queues.delete_ghosts, ghosts)
    return len(ghosts)


def _is_uuid(text: str) -> bool:
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


async def _enqueue_marked(database: Executor, queues: Queues, image_ids: list[UUID], overdue_s: float) -> int:
    if not image_ids:
        return 0
    rows = await database.fetch_all("mark_enqueued", image_ids=image_ids, overdue_s=overdue_s)
    await _enqueue(queues, (QueueableImage(**row) for row in rows))
    return len(rows)


async def _enqueue(queues: Queues, images: Iterable[QueueableImage]) -> None:
    def enqueue_all() -> None:
        for image in images:
            policy = IMAGE_POLICIES[image.retry_policy]
            queues.enqueue_image(str(image.id), policy=policy, retry_count=image.retry_count, again=True)

    await asyncio.to_thread(enqueue_all)
