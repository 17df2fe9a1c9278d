"""Pictures: ask for one or for a chapter's best, follow the task, fetch the picture."""

import asyncio
from collections.abc import Sequence
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from jobs.core.books import find_chapter_id, list_promising_descriptions
from jobs.core.errors import AlreadyIllustrated, NotFound, Unavailable
from jobs.core.images import (
    Image,
    ImageOptions,
    Submission,
    cancel_image,
    find_current_image,
    find_image,
    submit_image,
)
from jobs.core.logs import get_logger
from jobs.core.retries import IMAGE_POLICIES
from jobs.core.states import AspectRatio, DescriptionType, ImageStatus
from service.auth import require_user
from service.body import Line, RequestModel, read_body
from service.state import State

POLL_AFTER_S = 3

log = get_logger(__name__)


class GenerateImage(RequestModel):
    """The body of a request for one picture."""

    style_prompt: Line | None = None
    aspect_ratio: AspectRatio = AspectRatio.LANDSCAPE_4_3


class GenerateChapter(RequestModel):
    """The body of a request for a chapter's best pictures."""

    max_images: Annotated[int, Field(ge=1, le=20)] = 5
    types: Annotated[Sequence[DescriptionType], Field(min_length=1, max_length=5)] = tuple(DescriptionType)
    style_prompt: Line | None = None


def show_image(image: Image) -> dict[str, Any]:
    """An image as JSON shows it."""
    return {
        "id": str(image.id),
        "description_id": str(image.description_id),
        "image_url": f"/images/file/{image.id}",
        "status": image.status,
        "width": image.width,
        "height": image.height,
        "content_type": image.content_type,
        "service_used": image.service_used,
        "model": image.model,
        "prompt_used": image.prompt_used,
        "generation_time_seconds": image.generation_time_seconds,
        "created_at": image.created_at.isoformat(),
    }


def show_task(image: Image) -> dict[str, Any]:
    """The task of an image as JSON shows it: `result` when it is completed, `error` when the last attempt failed."""
    task: dict[str, Any] = {
        "task_id": str(image.id),
        "description_id": str(image.description_id),
        "status": image.status,
        "stage": image.stage,
        "retry_count": image.retry_count,
        "created_at": image.created_at.isoformat(),
        "updated_at": image.updated_at.isoformat(),
    }
    if image.next_attempt_at is not None:
        task["next_attempt_at"] = image.next_attempt_at.isoformat()
    if image.status is ImageStatus.COMPLETED:
        task["result"] = show_image(image)
    if image.error_code is not None:
        task |= {"error": image.error_message, "error_code": image.error_code}
    return task


async def generate_image_async(request: Request[State]) -> Response:
    """`POST /images/generate/async/{description_id}`: 202 with the new task or the one in flight; 409 with the picture.

    2 statements (user, row) and, for a new task, RQ's enqueue in a thread.
    """
    user = await require_user(request)
    body = await read_body(request, GenerateImage)
    options = ImageOptions(style_prompt=body.style_prompt, aspect_ratio=body.aspect_ratio)
    submission = await _submit_and_enqueue(request, user.id, request.path_params["description_id"], options)
    if submission.outcome == "exists":
        raise AlreadyIllustrated(show_image(submission.image))
    headers = {"Location": f"/images/task/{submission.image.id}", "Retry-After": str(POLL_AFTER_S)}
    return JSONResponse(show_task(submission.image), status_code=202, headers=headers)


async def generate_chapter(request: Request[State]) -> Response:
    """`POST /images/generate/chapter/{chapter_id}`: 202 with a task for each of the chapter's best passages."""
    user = await require_user(request)
    body = await read_body(request, GenerateChapter)
    database = request.state["database"]
    chapter_id = await find_chapter_id(database, user.id, request.path_params["chapter_id"])
    chosen = await list_promising_descriptions(database, chapter_id, types=body.types, limit=body.max_images)
    options = ImageOptions(style_prompt=body.style_prompt)
    submissions = [await _submit_and_enqueue(request, user.id, description_id, options) for description_id in chosen]
    tasks = [show_task(each.image) for each in submissions if each.outcome != "exists"]
    return JSONResponse({"items": tasks}, status_code=202, headers={"Retry-After": str(POLL_AFTER_S)})


async def _submit_and_enqueue(
    request: Request[State], user_id: UUID, description_id: UUID, options: ImageOptions
) -> Submission:
    """Write the row, then enqueue its job; should the process die in between, reconcile enqueues it."""
    submission = await submit_image(request.state["database"], user_id, description_id, options)
    if submission.outcome == "created":
        policy = IMAGE_POLICIES[options.retry_policy]
        await asyncio.to_thread(request.state["queues"].enqueue_image, str(submission.image.id), policy=policy)
    return submission


async def show_image_task(request: Request[State]) -> Response:
    """`GET /images/task/{task_id}`: where a task is; 2 statements."""
    user = await require_user(request)
    image = await find_image(request.state["database"], user.id, request.path_params["task_id"])
    headers = {} if image.status.is_over else {"Retry-After": str(POLL_AFTER_S)}
    return JSONResponse(show_task(image), headers=headers)


async def cancel_image_task(request: Request[State]) -> Response:
    """`DELETE /images/task/{task_id}`: 200 with the task, which is over; 409 if it was over before.

    The row comes first: whatever becomes of the job, no attempt can write to it any more.
    """
    user = await require_user(request)
    image, was_generating = await cancel_image(request.state["database"], user.id, request.path_params["task_id"])
    try:
        await asyncio.to_thread(request.state["queues"].stop_image, str(image.id), is_running=was_generating)
        await request.state["store"].delete_image(str(image.id))
    except Unavailable as error:  # the task is over all the same: its attempt ends when it next renews its lease
        log.warning("cancel_image", task_id=str(image.id), error_code=error.code)
    return JSONResponse(show_task(image))


async def show_description_image(request: Request[State]) -> Response:
    """`GET /images/description/{description_id}`: the passage's current image."""
    user = await require_user(request)
    image = await find_current_image(request.state["database"], user.id, request.path_params["description_id"])
    return JSONResponse(show_image(image))


async def send_image_file(request: Request[State]) -> Response:
    """`GET /images/file/{image_id}`: the bytes as they came from the provider; they never change."""
    user = await require_user(request)
    image = await find_image(request.state["database"], user.id, request.path_params["image_id"])
    if image.status is not ImageStatus.COMPLETED:
        raise NotFound("There is no such image.")
    headers = {"ETag": f'"{image.id}"', "Cache-Control": "private, max-age=31536000, immutable"}
    if _is_fresh(request.headers.get("if-none-match", ""), headers["ETag"]):
        return Response(status_code=304, headers=headers)
    data = await request.state["store"].get_image(str(image.id))
    if data is None:
        raise NotFound("The picture's bytes are gone from the store.")
    return Response(data, media_type=image.content_type, headers=headers)


def _is_fresh(if_none_match: str, etag: str) -> bool:
    known = (each.strip().removeprefix("W/") for each in if_none_match.split(","))
    return any(each in (etag, "*") for each in known)
