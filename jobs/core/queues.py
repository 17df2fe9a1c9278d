"""The three RQ queues: which function runs where, how it is enqueued, and what Redis holds of it.

Payloads are JSON, and a job runs only if its function is in `TASKS`: whoever can write to Redis still cannot run code.
RQ takes `Job` and `Queue` from `RQ_JOB_CLASS` and `RQ_QUEUE_CLASS`.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import rq
from rq.exceptions import NoSuchJobError
from rq.serializers import JSONSerializer

from jobs.core import retries
from jobs.core.errors import ForbiddenJob, GaveUp, HandedBack, RetryLater
from jobs.core.retries import RetryPolicy

RESULT_TTL_S = 3600
FAILURE_TTL_S = 7 * 24 * 3600


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
        """Keep the class of the error, and the text of our own: rq-dashboard shows it unescaped, and a traceback or
        another's text holds paths, passages or worse."""
        kind, _, text = exc_string.strip().rpartition("\n")[2].partition(":")
        shown = f"{kind}:{text}" if kind.startswith("jobs.core.errors.") else kind
        super()._handle_failure(shown, *args, **kwargs)


class Queue(rq.Queue):
    """An RQ queue of such jobs."""

    job_class = Job

    def __init__(self, name: str = "default", *args: Any, **kwargs: Any) -> None:
        kwargs["serializer"] = JSONSerializer
        kwargs["job_class"] = Job
        super().__init__(name, *args, **kwargs)
