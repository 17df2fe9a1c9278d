"""The timetable of the light queue, run by rq-scheduler: `python -m jobs.schedule`."""

import time
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import rq_scheduler

from jobs.core.errors import QueueUnavailable
from jobs.core.logs import configure_logging, get_logger
from jobs.core.queue_client import connect_redis, redis_errors_translated
from jobs.core.queues import LIGHT, RECONCILE_QUEUE, RESULT_TTL_S, TASKS, Job, Queue
from jobs.core.settings import Settings

_CHECK_EVERY_S = 1
_RECONNECT_S = 2.0

log = get_logger(__name__)


class Scheduler(rq_scheduler.Scheduler):  # type: ignore[misc]  # rq_scheduler has no types
    """rq-scheduler's own, which also puts the timetable back whenever Redis has lost it.

    Args:
        timetable: Every periodic function with its interval in seconds; its name's last part is its job's id.
        more: What rq-scheduler's own takes.
    """

    job_class = Job
    queue_class = Queue

    def __init__(self, timetable: Mapping[str, int], **more: Any) -> None:
        super().__init__(**more)
        self._timetable = timetable

    def enqueue_jobs(self) -> Any:
        """Enter what is missing of the timetable, then enqueue what is due."""
        for function, interval_s in self._timetable.items():
            job_id = function.rpartition(".")[2]
            if job_id not in self:
                self.schedule(
                    datetime.now(UTC),
                    function,
                    interval=interval_s,
                    id=job_id,
                    queue_name=TASKS[function].name,
                    timeout=LIGHT.job_timeout_s,
                    result_ttl=RESULT_TTL_S,
                    description=job_id,
                )
                log.info("schedule_job", job=job_id, interval_s=interval_s)
        return super().enqueue_jobs()

    def enqueue_job(self, job: Job) -> None:
        """Enqueue a due job, unless its last run still waits: while no worker runs, one of each is enough."""
        queue = self.get_queue_for_job(job)
        if queue.get_job_position(job.id) is not None:
            self.connection.zadd(self.scheduled_jobs_key, {job.id: time.time() + job.meta["interval"]})
            return
        super().enqueue_job(job)


def make_timetable(settings: Settings) -> Mapping[str, int]:
    """Every periodic function with its interval in seconds."""
    return {RECONCILE_QUEUE: settings.reconcile_every_s}


def main() -> None:
    """Run until told to stop; wait for a Redis that is away."""
    settings = Settings.load()
    configure_logging(settings.log_level)
    while True:
        connection = connect_redis(settings.required_redis_url)
        try:
            with redis_errors_translated():
                Scheduler(make_timetable(settings), connection=connection, interval=_CHECK_EVERY_S).run()
        except QueueUnavailable as error:
            log.warning("run_scheduler", error_code=error.code)
            time.sleep(_RECONNECT_S)


if __name__ == "__main__":
    main()
