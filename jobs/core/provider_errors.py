"""What a provider's HTTP answer means for us: one table of statuses for every provider."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from jobs.core.errors import ProviderBusy, ProviderError, ProviderRejected, ProviderUnavailable

MAX_RETRY_AFTER_S = 3600.0
"""The longest delay that a provider may ask for; beyond an hour a task would seem lost."""

_RETRYABLE = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.CONFLICT, HTTPStatus.TOO_EARLY}


def error_of_status(status: int, *, retry_after_s: float | None = None) -> ProviderError:
    """The error that a provider's status stands for, worded for a reader."""
    if status == HTTPStatus.TOO_MANY_REQUESTS:
        return ProviderBusy("The picture service takes no more requests at the moment.", retry_after_s=retry_after_s)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR or status in _RETRYABLE:
        return ProviderUnavailable(f"The picture service cannot answer now ({status}).", retry_after_s=retry_after_s)
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN):
        return ProviderRejected(f"The picture service does not accept our key ({status}); the operator must mend it.")
    if status == HTTPStatus.NOT_FOUND:
        return ProviderRejected("The picture service does not know our model; the operator must mend it.")
    return ProviderRejected(f"The picture service does not accept our request ({status}); the operator must mend it.")


def no_answer() -> ProviderUnavailable:
    """The error where a connection was refused, cut, or silent for too long."""
    return ProviderUnavailable("The picture service does not answer.")


def read_retry_after(headers: Mapping[str, str]) -> float | None:
    """The delay of a Retry-After field in seconds (RFC 9110, 10.2.3: seconds or a date); None without a usable one."""
    value = headers.get("Retry-After", "").strip()
    if value.isascii() and value.isdigit():
        return bound_delay(float(value))
    try:
        at = parsedate_to_datetime(value)
    except ValueError:
        return None
    return bound_delay((at.replace(tzinfo=at.tzinfo or UTC) - datetime.now(UTC)).total_seconds())


def read_retry_info(details: object) -> float | None:
    """The delay of a google.rpc.RetryInfo among an error's details, in seconds ("2s", "0.5s"); None without one."""
    error = details.get("error", details) if isinstance(details, dict) else {}
    entries = error.get("details") if isinstance(error, dict) else None
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, dict) and str(entry.get("@type", "")).endswith("google.rpc.RetryInfo"):
            found = re.fullmatch(r"(\d+(?:\.\d+)?)s", str(entry.get("retryDelay", "")))
            if found:
                return bound_delay(float(found[1]))
    return None


def bound_delay(delay_s: float) -> float:
    """The delay within what we follow."""
    return min(max(delay_s, 0.0), MAX_RETRY_AFTER_S)
