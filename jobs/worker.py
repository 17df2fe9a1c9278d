"""The RQ worker: `rq worker heavy normal light` with `RQ_WORKER_CLASS=jobs.worker.Worker`.

It imports the tasks and loads their models before it forks, reconciles the queue before its first job, always runs RQ's
scheduler (delayed retries need one), and logs without tracebacks. In all else it is RQ's own forking worker.
"""

import asyncio
from typing import Any

import rq
from rq.serializers import JSONSerializer

import jobs.tasks.images
from jobs.core.errors import GaveUp, RetryLater, VignetteError, describe_exception
from jobs.core.logs import configure_logging, get_logger
from jobs.core.settings import Settings
from jobs.illustration.languages import load_language_model
from jobs.tasks.housekeeping import reconcile_queue

PRELOADED = (jobs.tasks.images,)
"""Imported here, so that no job pays for an import in its forked work horse."""

log = get_logger(__name__)


class Worker(rq.Worker):
    """RQ's forking worker with Vignette's settings."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["serializer"] = JSONSerializer
        super().__init__(*args, **kwargs)

    def work(self, *args: Any, **kwargs: Any) -> bool:
        """Work until told to stop; whether any job was done."""
        configure_logging(Settings.load().log_level)
        load_language_model()
        try:
            asyncio.run(reconcile_queue())
        except VignetteError as error:
            log.warning("reconcile_queue", error_code=error.code)  # the timetable's next one will do it
        for queue in self.queues:  # RQ lists a queue only once it has held a job; the operator looks for all three
            self.connection.sadd(queue.redis_queues_keys, queue.key)
        kwargs["with_scheduler"] = True
        log.info("start_worker", worker=self.name, queues=self.queue_names())
        return bool(super().work(*args, **kwargs))

    def handle_exception(self, job: rq.job.Job, *exc_info: Any) -> None:
        """Log a job's failure in one line; its row holds the reason."""
        error = exc_info[1]
        if not isinstance(error, RetryLater | GaveUp):
            log.error("job_failed", task_id=job.id, queue=job.origin, error=describe_exception(error))
