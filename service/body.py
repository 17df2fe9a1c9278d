"""Request bodies: read up to the route's limit, decoded, and checked against a model."""

import asyncio
import json
from typing import Annotated, Any, TypeVar

from pydantic import BaseModel, ConfigDict, StringConstraints, ValidationError
from starlette.requests import ClientDisconnect, Request

from jobs.core.errors import BodyTooLarge, InvalidFields, MalformedRequest

KIB = 1024
SMALL_BODY_BYTES = 64 * KIB
BOOK_BODY_BYTES = 8 * KIB * KIB


NO_NUL = r"^[^\x00]*$"
"""What Postgres can keep as text."""

Line = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=300, pattern=NO_NUL)]


class RequestModel(BaseModel):
    """A body's shape; fields that it does not name are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True)


Model = TypeVar("Model", bound=RequestModel)


async def read_body(request: Request[Any], model: type[Model], *, limit_bytes: int = SMALL_BODY_BYTES) -> Model:
    """The request's JSON as a model; an empty body counts as `{}`. Nothing beyond the limit is buffered.

    Raises:
        BodyTooLarge: It is longer than `limit_bytes`, whatever its Content-Length says.
        MalformedRequest: It is no JSON in UTF-8.
        InvalidFields: It is JSON of another shape.
    """
    raw = bytearray()
    try:
        async for chunk in request.stream():
            raw += chunk
            if len(raw) > limit_bytes:
                raise BodyTooLarge(f"The body may have {limit_bytes} bytes.")
    except ClientDisconnect:
        raise MalformedRequest("The body ended early.") from None
    if len(raw) > SMALL_BODY_BYTES:
        return await asyncio.to_thread(_parse_body, raw, model)
    return _parse_body(raw, model)


def _parse_body(raw: bytearray, model: type[Model]) -> Model:
    try:
        data = json.loads(raw) if raw.strip() else {}
    except (ValueError, RecursionError):
        raise MalformedRequest("The body is no JSON in UTF-8.") from None
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise InvalidFields(
            [
                {"field": ".".join(map(str, each["loc"])) or "body", "reason": each["msg"]}
                for each in error.errors(include_url=False, include_input=False, include_context=False)
            ]
        ) from None
