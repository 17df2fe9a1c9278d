"""The three RQ queues: which function runs where, how it is enqueued, and what Redis holds of it.

Payloads are JSON, and a job runs only if its function is in `TASKS`: whoever can write to Redis still cannot run code.
RQ takes `Job` and `Queue` from `RQ_JOB_CLASS` and `RQ_QUEUE_CLASS`. These calls block for a round trip or two: async
code runs them in a thread.
"""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, cast

import redis
import redis.asyncio
import rq
from rq.command import send_stop_job_command
from rq.exceptions import DuplicateJobError, InvalidJobOperation, NoSuchJobError
from rq.serializers import JSONSerializer

from jobs.core import retries
from jobs.core.errors import ForbiddenJob, GaveUp, HandedBack, QueueUnavailable, RetryLater
from jobs.core.retries import RetryPolicy

RESULT_TTL_S = 3600
FAILURE_TTL_S = 7 * 24 * 3600
WORKER_SILENT_S = 30
"""A worker that has been silent for so long is dead: ours say that they live every 15 s at least."""

_CONNECT_S = 2.0
_ANSWER_S = 5.0


@dataclass(frozen=True, slots=True)
class QueuePolicy:
    """A queue's name, retry policy, and the longest run of one of its jobs in seconds."""

    name: str
    retry: RetryPolicy
    job_timeout_s: int


HEAVY = QueuePolicy("heavy", retries.HEAVY, 1800)
NORMAL = QueuePolicy("normal", retries.NORMAL, 180)
LIGHT = QueuePolicy("light", retries.LIGHT, 120)
QUEUES = (HEAVY, NORMAL, LIGHT)

GENERATE_IMAGE = "jobs.tasks.images.generate_image"
RECONCILE_QUEUE = "jobs.tasks.housekeeping.reconcile_queue"
RETRY_FAILED_IMAGES = "jobs.tasks.housekeeping.retry_failed_images"

TASKS: Mapping[str, QueuePolicy] = {
    GENERATE_IMAGE: NORMAL,
    RECONCILE_QUEUE: LIGHT,
    RETRY_FAILED_IMAGES: LIGHT,
}
"""Every function that RQ may run, with its queue."""


class Job(rq.job.Job):
    """An RQ job whose payload is JSON and whose function is one of `TASKS`."""

    def __init__(self, id: str | None = None, connection: Any = None, serializer: Any = None) -> None:
        super().__init__(id, connection=connection, serializer=JSONSerializer)

    @property
    def func(self) -> Callable[..., Any]:
        """The function to run.

        Raises:
            ForbiddenJob: It is not one of `TASKS`.
        """
        if self.func_name not in TASKS or self.instance is not None:
            raise ForbiddenJob("This job names a function that is not one of ours.")
        function: Callable[..., Any] = super().func
        return function

    def restore(self, raw_data: Any) -> None:
        """Take over what Redis holds, without callbacks and webhooks: we use none, so somebody else wrote them.

        Raises:
            NoSuchJobError: A field is no job's: somebody else wrote it. RQ passes over such a job; any other error
                would end the worker.
        """
        try:
            super().restore(raw_data)
        except Exception as error:
            raise NoSuchJobError("This is no job of ours.") from error
        self._success_callback_name = self._failure_callback_name = self._stopped_callback_name = None
        self.webhooks = []

    def _execute(self) -> Any:
        try:
            return super()._execute()
        except RetryLater as later:
            self.retries_left = later.retries_left + 1  # RQ takes one off when it schedules the retry
            # RQ's timetable has whole seconds and may fire up to one early.
            self.retry_intervals = [math.ceil(later.delay_s) + 1]
            raise
        except GaveUp:
            self.retries_left = 0
            raise
        except HandedBack:
            self.retries_left = (self.retries_left or 0) + 1
            self.retry_intervals = [0]
            self.enqueue_at_front_on_retry = True
            raise

    def _handle_failure(self, exc_string: str, *args: Any, **kwargs: Any) -> None:
        """Keep the last line of the traceback only: rq-dashboard shows it unescaped, and it holds our paths."""
        super()._handle_failure(exc_string.strip().rpartition("\n")[2][:200], *args, **kwargs)


class Queue(rq.Queue):
    """An RQ queue of such jobs."""

    job_class = Job

    def __init__(self, name: str = "default", *args: Any, **kwargs: Any) -> None:
        kwargs["serializer"] = JSONSerializer
        kwargs["job_class"] = Job
        super().__init__(name, *args, **kwargs)


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

    def ping(self) -> None:
        """One round trip.

        Raises:
            QueueUnavailable: Redis does not answer.
        """
        with redis_errors_translated():
            self._redis.ping()

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
