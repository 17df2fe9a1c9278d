"""Every error that Vignette raises on purpose, in one tree.

    VignetteError
    |-- RequestError                what a client sent cannot be served as it is
    |   |-- MalformedRequest        the body is no JSON
    |   |-- NotSignedIn             no token, or one that nobody has
    |   |-- NotFound                there is no such thing, or it is another user's
    |   |-- AlreadyIllustrated      the passage has its picture
    |   |-- TaskOver                the task has ended already
    |   |-- BodyTooLarge            the body is longer than the route allows
    |   `-- InvalidFields           the body is JSON, and some fields are not allowed
    |-- Conflict                    somebody else has just done the same
    |-- Unavailable                 a server we stand on does not answer
    |   |-- DatabaseUnavailable
    |   |-- QueueUnavailable
    |   `-- StoreUnavailable
    |-- ProviderError               a picture could not be drawn
    |   |-- ProviderUnavailable     it did not answer, or answered that it cannot now
    |   |   `-- ProviderBusy        it answered that we ask too much of it
    |   |-- BadPicture              what it sent is no picture
    |   |-- ProviderRejected        it will never draw this as we ask: key, model, request
    |   `-- PassageBlocked          it refuses this passage
    |-- Overdue                     an attempt took longer than its job may
    |-- LeaseLost                   an attempt no longer owns its row
    |-- HandedBack                  tells RQ that a job stopped in the middle and is to run again at once
    |-- RetryLater                  tells RQ to run a job again
    |-- GaveUp                      tells RQ that a job is over without a result
    |-- ForbiddenJob                a job names a function that is not one of ours
    `-- SettingsError               an environment variable holds what cannot be used

Each class says whether trying again can help (`retryable`) and carries a stable `code`; its text is written for the
person who reads it and holds no secret, no passage and no path of the server.
"""

from typing import ClassVar


class VignetteError(Exception):
    """The root; `code` is stable, `str()` is a sentence for a person."""

    code: ClassVar[str] = "internal"
    retryable: ClassVar[bool] = False


class RequestError(VignetteError):
    """What a client sent cannot be served as it is."""


class MalformedRequest(RequestError):
    """The body is no JSON."""

    code = "malformed"


class NotSignedIn(RequestError):
    """No token, or one that nobody has."""

    code = "unauthenticated"


class NotFound(RequestError):
    """There is no such thing, or it is another user's."""

    code = "not_found"


class AlreadyIllustrated(RequestError):
    """The passage has its picture; `image` is its JSON."""

    code = "already_illustrated"

    def __init__(self, image: dict[str, object]) -> None:
        super().__init__("This passage has a picture already.")
        self.image = image


class TaskOver(RequestError):
    """The task has ended already, and cannot be cancelled."""

    code = "task_over"


class BodyTooLarge(RequestError):
    """The body is longer than the route allows."""

    code = "body_too_large"


class InvalidFields(RequestError):
    """The body is JSON, and some fields are not allowed; `fields` lists them as {field, reason}."""

    code = "invalid"

    def __init__(self, fields: list[dict[str, str]]) -> None:
        super().__init__("; ".join(f"{each['field']}: {each['reason']}" for each in fields))
        self.fields = fields


class Conflict(VignetteError):
    """Somebody else has just done the same; ask again, and find it done."""

    code = "conflict"
    retryable = True


class Unavailable(VignetteError):
    """A server we stand on does not answer; it comes back without our doing."""

    code = "unavailable"
    retryable = True


class DatabaseUnavailable(Unavailable):
    """Postgres does not answer."""


class QueueUnavailable(Unavailable):
    """Redis does not answer."""


class StoreUnavailable(Unavailable):
    """The image store cannot be read or written."""

    code = "store_unavailable"


class ProviderError(VignetteError):
    """A picture could not be drawn; `retry_after_s` is the provider's own delay in seconds, if it named one."""

    code = "provider_failed"

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class ProviderUnavailable(ProviderError):
    """The provider did not answer, or answered that it cannot now."""

    code = "provider_unavailable"
    retryable = True


class ProviderBusy(ProviderUnavailable):
    """The provider answered that we ask too much of it: a rate limit, or a quota that is spent."""

    code = "provider_busy"


class BadPicture(ProviderError):
    """What the provider sent is no picture."""

    code = "bad_picture"
    retryable = True


class ProviderRejected(ProviderError):
    """The provider will never draw this as we ask: a bad key, an unknown model, a bad request."""

    code = "provider_rejected"


class PassageBlocked(ProviderError):
    """The provider refuses this passage."""

    code = "blocked"


class Overdue(VignetteError):
    """An attempt took longer than its job may."""

    code = "timeout"
    retryable = True


class LeaseLost(VignetteError):
    """An attempt no longer owns its row: another has it, or it is over."""

    code = "lease_lost"


class HandedBack(VignetteError):
    """Tells RQ that a job was stopped in the middle, by a shutdown, and is to run again at once elsewhere."""

    code = "handed_back"


class RetryLater(VignetteError):
    """Tells RQ to run a job again in `delay_s` seconds, with `retries_left` more after that."""

    def __init__(self, code: str, *, delay_s: float, retries_left: int) -> None:
        super().__init__(f"{code}: again in {delay_s:.0f} s, {retries_left} retries left")
        self.delay_s = delay_s
        self.retries_left = retries_left


class GaveUp(VignetteError):
    """Tells RQ that a job is over without a result; the reason is in its row."""


class ForbiddenJob(VignetteError):
    """A job names a function that is not one of ours: somebody else wrote to Redis."""

    code = "forbidden_job"


class SettingsError(VignetteError):
    """An environment variable holds what cannot be used; the text names it and what is allowed."""

    code = "settings"


def describe_exception(error: BaseException) -> str:
    """The class of an error and where it was raised, as module:line: enough to find a bug, with nothing that an
    exception's text or a traceback could give away (passages, secrets, paths of the server)."""
    last = error.__traceback__
    while last is not None and last.tb_next is not None:
        last = last.tb_next
    where = f" at {last.tb_frame.f_globals.get('__name__', '?')}:{last.tb_lineno}" if last is not None else ""
    return f"{type(error).__name__}{where}"
