"""The light queue's chores: thin, in bounded batches, and safe to run twice at once."""

from jobs.core.logs import get_logger
from jobs.core.reconcile import reconcile_images, send_failed_images_again
from jobs.tasks.resources import use_resources

log = get_logger(__name__)


async def reconcile_queue() -> dict[str, int]:
    """Make the normal queue agree with the table; how many rows of each kind were sent round again."""
    async with use_resources() as resources:
        overdue_s = resources.leases.lease_s / 2  # by then a worker that is alive has written to its row
        found = await reconcile_images(resources.database, resources.queues, overdue_s=overdue_s)
    log.log(20 if any(found.values()) else 10, "reconcile_queue", **found)
    return found


async def retry_failed_images(older_than_s: float = 0, limit: int = 100) -> int:
    """The operator's second chance: send failed images round again, with all their retries; how many there were.

    Images that were blocked or cancelled stay as they are. It is run by
    `rq enqueue -q light jobs.tasks.housekeeping.retry_failed_images`.
    """
    async with use_resources() as resources:
        count = await send_failed_images_again(resources.database, resources.queues, older_than_s, limit)
    log.info("retry_failed_images", count=count)
    return count
