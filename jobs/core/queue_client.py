"""The queues as the rest of us use them: enqueue an image's job, stop it, list what Redis holds.

The one place, beside the RQ classes of `jobs.core.queues`, that imports redis; its errors become ours here. The calls
block for a round trip or two: async code runs them in a thread.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import cast

import redis
import redis.asyncio
import rq
from rq.command import send_stop_job_command
from rq.exceptions import DuplicateJobError, InvalidJobOperation, NoSuchJobError
from rq.serializers import JSONSerializer

from jobs.core.errors import QueueUnavailable
from jobs.core.queues import FAILURE_TTL_S, GENERATE_IMAGE, NORMAL, QUEUES, RESULT_TTL_S, Job, Queue, QueuePolicy
from jobs.core.retries import RetryPolicy

WORKER_SILENT_S = 30
"""A worker that has been silent for so long is dead: ours say that they live every 15 s at least."""

_CONNECT_S = 2.0
_ANSWER_S = 5.0


@contextmanager
def redis_errors_translated() -> Iterator[None]:
    """Raise `QueueUnavailable` for whatever the Redis client raises."""
    try:
        yield
    except redis.RedisError as error:
        raise QueueUnavailable("The queue does not answer.") from error


def connect_redis(url: str) -> redis.Redis:
    """A client with a pool of its own, whose every call is answered or fails within seconds."""
    return redis.Redis.from_url(url, socket_connect_timeout=_CONNECT_S, socket_timeout=_ANSWER_S)


def connect_redis_async(url: str) -> redis.asyncio.Redis:
    """The same for coroutines; made, used and closed in one event loop."""
    return redis.asyncio.Redis.from_url(url, socket_connect_timeout=_CONNECT_S, socket_timeout=_ANSWER_S)


class Queues:
    """The queues over one Redis connection pool; safe to call from several threads."""

    def __init__(self, url: str) -> None:
        self._redis = connect_redis(url)
        self._queues = {policy.name: Queue(policy.name, connection=self._redis) for policy in QUEUES}

    def close(self) -> None:
        """Close the pool's connections."""
        self._redis.close()

    def count_workers(self) -> int:
        """How many live workers listen on the normal queue.

        Raises:
            QueueUnavailable: Redis does not answer.
        """
        with redis_errors_translated():
            workers = rq.Worker.all(queue=self._queues[NORMAL.name])
        oldest = datetime.now(UTC) - timedelta(seconds=WORKER_SILENT_S)
        return sum(worker.last_heartbeat is not None and worker.last_heartbeat > oldest for worker in workers)

    def enqueue_image(self, image_id: str, *, policy: RetryPolicy, retry_count: int = 0, again: bool = False) -> bool:
        """Enqueue an image's job under the image's id; False where Redis already holds that job.

        Args:
            image_id: The row's id, which becomes the job's id.
            policy: The row's retry policy.
            retry_count: The retries already spent.
            again: Enqueue even where Redis holds a job of that id: it is in no queue, or its row was put back. Should
                the job run twice, the second finds its row claimed.

        Raises:
            QueueUnavailable: Redis does not answer.
        """
        delays_s = policy.delays_s(retry_count)
        try:
            with redis_errors_translated():
                if again:
                    self._delete_job(image_id)
                self._queues[NORMAL.name].enqueue_call(
                    GENERATE_IMAGE,
                    args=(image_id,),
                    job_id=image_id,
                    unique=not again,
                    timeout=NORMAL.job_timeout_s,
                    result_ttl=RESULT_TTL_S,
                    failure_ttl=FAILURE_TTL_S,
                    description=f"image {image_id}",
                    retry=rq.Retry(max=len(delays_s), interval=delays_s) if delays_s else None,
                )
        except DuplicateJobError:
            return False
        return True

    def stop_image(self, image_id: str, *, is_running: bool) -> None:
        """Take an image's job out of the queue, or have the worker that runs it end it within a second or so.

        Raises:
            QueueUnavailable: Redis does not answer; a running attempt then ends when it next renews its lease.
        """
        with redis_errors_translated():
            if not is_running:
                self._delete_job(image_id)
                return
            try:
                send_stop_job_command(self._redis, image_id, serializer=JSONSerializer)
            except (NoSuchJobError, InvalidJobOperation):
                return  # it has just ended

    def delete_ghosts(self, image_ids: Iterable[str]) -> None:
        """Delete the jobs that RQ still counts as running although their worker is dead.

        Raises:
            QueueUnavailable: Redis does not answer.
        """
        with redis_errors_translated():
            for image_id in image_ids:
                self._delete_job(image_id)

    def list_started_ids(self, policy: QueuePolicy) -> set[str]:
        """The ids of all jobs of a queue that RQ counts as running, in one round trip.

        Raises:
            QueueUnavailable: Redis does not answer.
        """
        with redis_errors_translated():
            return set(self._queues[policy.name].started_job_registry.get_job_ids(cleanup=False))

    def _delete_job(self, job_id: str) -> None:
        """Forget a job: its hash, its place in the queue, and its entry in whichever registry it is in.

        RQ's own way fails where the record of a dead worker's execution has run out, so those entries go first.
        """
        registry = self._queues[NORMAL.name].started_job_registry
        members = cast(list[bytes], self._redis.zrange(registry.key, 0, -1))
        entries = [each for each in members if each.startswith(f"{job_id}:".encode())]
        if entries:
            self._redis.zrem(registry.key, *entries)
        try:
            job = Job.fetch(job_id, connection=self._redis)
        except NoSuchJobError:
            return
        self._redis.delete(job.execution_registry.key)
        job.delete()

    def list_queued_ids(self, policy: QueuePolicy) -> set[str]:
        """The ids of all jobs in a queue's list, in one round trip; about 36 bytes a job.

        Raises:
            QueueUnavailable: Redis does not answer.
        """
        with redis_errors_translated():
            return set(self._queues[policy.name].get_job_ids())
