"""The RQ worker: `rq worker heavy normal light` with `RQ_WORKER_CLASS=jobs.worker.Worker`.

It imports the tasks and loads their models before it forks, reconciles the queue before its first job, always runs RQ's
scheduler (delayed retries need one), and logs without tracebacks. In all else it is RQ's own forking worker.
"""

import asyncio
import signal
import threading
import time
from collections.abc import Mapping
from typing import Any

import rq
import rq.worker_registration
from rq.defaults import (
    DEFAULT_JOB_MONITORING_INTERVAL,
    DEFAULT_MAINTENANCE_TASK_INTERVAL,
    DEFAULT_WORKER_TTL,
)
from rq.serializers import JSONSerializer

import jobs.tasks.images
from jobs.core.errors import GaveUp, HandedBack, RetryLater, VignetteError, describe_exception
from jobs.core.logs import configure_logging, get_logger
from jobs.core.settings import Settings
from jobs.illustration.languages import load_language_model
from jobs.tasks.housekeeping import reconcile_queue

PRELOADED = (jobs.tasks.images,)
"""Imported here, so that no job pays for an import in its forked work horse."""

# RQ's default, and ours: how long a silent worker counts as alive, how often registries are cleaned, and how often a
# running job is looked after.
_INTERVALS_S: Mapping[str, tuple[int, int]] = {
    "worker_ttl": (DEFAULT_WORKER_TTL, 30),
    "default_worker_ttl": (DEFAULT_WORKER_TTL, 30),
    "maintenance_interval": (DEFAULT_MAINTENANCE_TASK_INTERVAL, 30),
    "job_monitoring_interval": (DEFAULT_JOB_MONITORING_INTERVAL, 5),
}

_REGISTER_EVERY_S = 10.0

log = get_logger(__name__)


class Worker(rq.Worker):
    """RQ's forking worker with Vignette's settings."""

    max_connection_wait_time = 5.0  # a Redis that is back is noticed within these seconds

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        kwargs["serializer"] = JSONSerializer
        # `rq worker` passes its own defaults, with which a dead worker counts as alive for eight minutes.
        for name, (default, ours) in _INTERVALS_S.items():
            if kwargs.get(name, default) == default:
                kwargs[name] = ours
        super().__init__(*args, **kwargs)
        self._settings = Settings.load()
        self._register_after_s = time.monotonic() + _REGISTER_EVERY_S

    def work(self, *args: Any, **kwargs: Any) -> bool:
        """Work until told to stop; whether any job was done."""
        configure_logging(self._settings.log_level)
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

    def heartbeat(self, timeout: int | None = None, pipeline: Any = None) -> None:
        """Say that this worker lives; and, some seconds later, who it is, should Redis have lost that."""
        super().heartbeat(timeout, pipeline)
        if pipeline is None and not self.is_horse and time.monotonic() > self._register_after_s:
            with self.connection.pipeline() as again:
                again.hset(self.key, mapping=self.serialize())
                rq.worker_registration.register(self, again)
                again.execute()
            self._register_after_s = time.monotonic() + _REGISTER_EVERY_S

    def handle_warm_shutdown_request(self) -> None:
        """Let the job finish within the grace period, then have it handed back."""
        super().handle_warm_shutdown_request()  # type: ignore[no-untyped-call]
        timer = threading.Timer(self._settings.shutdown_grace_s, self.kill_horse, [signal.SIGTERM])
        timer.daemon = True
        timer.start()

    def kill_horse(self, sig: signal.Signals = signal.SIGKILL) -> None:
        """Signal the work horse, if there is one; RQ's own signals this very process where there is none."""
        if self.horse_pid:
            super().kill_horse(sig)

    def handle_exception(self, job: rq.job.Job, *exc_info: Any) -> None:
        """Log a job's failure in one line; its row holds the reason."""
        error = exc_info[1]
        if not isinstance(error, RetryLater | GaveUp | HandedBack):
            log.error("job_failed", task_id=job.id, queue=job.origin, error=describe_exception(error))
