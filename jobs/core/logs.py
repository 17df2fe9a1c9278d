"""Log lines: one per event, named after the function that logs it, with fields; text on a terminal, JSON elsewhere."""

import logging
import logging.config
import sys
from collections.abc import Mapping
from typing import Any, cast

import structlog
from structlog.types import EventDict, Processor, WrappedLogger

from jobs.core.errors import describe_exception


def _describe_exc_info(_logger: WrappedLogger, _method: str, event: EventDict) -> EventDict:
    """Replace a traceback by the error's class and place; tracebacks hold paths of the server and users' texts."""
    error = event.pop("exc_info", None)
    if error is True:
        error = sys.exc_info()
    if isinstance(error, tuple):
        error = error[1]
    if isinstance(error, BaseException):
        event["error"] = describe_exception(error)
    return event


_SHARED: list[Processor] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_log_level,
    structlog.stdlib.add_logger_name,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
    _describe_exc_info,
]


def logging_config(level: str) -> dict[str, Any]:
    """The `logging.config` dictionary that every process uses, RQ's and uvicorn's loggers included."""
    renderer: Processor = (
        structlog.dev.ConsoleRenderer()
        if sys.stderr.isatty()
        else structlog.processors.JSONRenderer(ensure_ascii=False)
    )
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "events": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": [*_SHARED, structlog.stdlib.ExtraAdder(allow=())],
                "processors": [structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
            }
        },
        "handlers": {"stderr": {"class": "logging.StreamHandler", "formatter": "events"}},
        "root": {"handlers": ["stderr"], "level": level},
        "loggers": {
            name: {"handlers": [], "level": quiet or level, "propagate": True}
            for name, quiet in _FOREIGN_LEVELS.items()
        },
    }


# Third parties' loggers and the least level that is worth a line; None follows LOG_LEVEL.
_FOREIGN_LEVELS: Mapping[str, str | None] = {
    "rq.worker": "WARNING",
    "rq.job": "WARNING",
    "rq.scheduler": "WARNING",
    "rq_scheduler.scheduler": "WARNING",
    "uvicorn": None,
    "uvicorn.error": "WARNING",
    "uvicorn.access": "WARNING",
    "psycopg.pool": "ERROR",
    "google_genai": "WARNING",
    "py3langid": "WARNING",
    "redis": "WARNING",
}


def configure_logging(level: str) -> None:
    """Set up this process's logging; calling it again changes the level."""
    logging.config.dictConfig(logging_config(level))
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """A logger whose `info("event_name", field=value)` writes one line."""
    return cast(structlog.stdlib.BoundLogger, structlog.get_logger(name))
