"""What `rq` reads through `RQ_CONFIG=jobs.rq_settings`: the Redis URL and the logging of its command line."""

from jobs.core.logs import logging_config
from jobs.core.settings import Settings

_settings = Settings.load()

REDIS_URL = _settings.required_redis_url
DICT_CONFIG = logging_config(_settings.log_level)
