"""Problems: every error answer is RFC 9457 `application/problem+json` with a stable `code`.

`{"type": "about:blank", "title": "Not Found", "status": 404, "detail": "There is no such book.", "code": "not_found"}`
"""

from collections.abc import Mapping
from http import HTTPStatus

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from jobs.core.errors import AlreadyIllustrated, InvalidFields, VignetteError, describe_exception
from jobs.core.logs import get_logger

log = get_logger(__name__)


class ProblemResponse(JSONResponse):
    """A JSON answer with the media type of problems."""

    media_type = "application/problem+json"


def make_problem(
    status: int, code: str, detail: str, *, headers: Mapping[str, str] | None = None, **extra: object
) -> ProblemResponse:
    """A problem; `extra` are further members, for instance the fields that are wrong."""
    body = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "code": code,
    }
    return ProblemResponse(body | extra, status_code=status, headers=dict(headers or {}))


def answer_error(statuses: Mapping[type[VignetteError], int], error: VignetteError) -> Response:
    """The problem of one of our errors, by the most specific class in the table."""
    status = next(statuses[kind] for kind in type(error).__mro__ if kind in statuses)
    extra: dict[str, object] = {}
    headers: dict[str, str] = {}
    if isinstance(error, InvalidFields):
        extra["errors"] = error.fields
    if isinstance(error, AlreadyIllustrated):
        extra["image"] = error.image
    if status == HTTPStatus.UNAUTHORIZED:
        headers["WWW-Authenticate"] = "Bearer"
    if status == HTTPStatus.SERVICE_UNAVAILABLE:
        headers["Retry-After"] = "10"
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        log.warning("answer_error", status=status, error_code=error.code, error=describe_exception(error))
    return make_problem(status, error.code, str(error), headers=headers, **extra)


async def answer_http_exception(_request: Request, error: Exception) -> Response:
    """Starlette's own: an unknown path, a method that a path does not have."""
    assert isinstance(error, HTTPException)  # noqa: S101 (registered for this class)
    code = HTTPStatus(error.status_code).name.lower()
    return make_problem(error.status_code, code, error.detail, headers=error.headers)


async def answer_unexpected(_request: Request, error: Exception) -> Response:
    """A bug of ours: logged by class and place, answered without either."""
    log.error("answer_unexpected", error=describe_exception(error))
    return make_problem(500, "internal", "An error of ours; it has been logged.")
