"""The images: every change of an image's state is one guarded statement of sql/queries/generated_images.sql.

A function and its query share a name. A guarded change answers None or False where the guard did not hold: the race was
lost, which is a value and no error. The module is long because every change of one
table belongs in one place.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal
from uuid import UUID

from jobs.core.database import Executor
from jobs.core.errors import NotFound, TaskOver
from jobs.core.states import ImageStatus, RetryPolicyName, Stage

_SUBMIT_TRIES = 5  # each lost race means that another request just changed this very passage's image


@dataclass(frozen=True, slots=True)
class Image:
    """An image's row, as a client may see it."""

    id: UUID
    description_id: UUID
    status: ImageStatus
    stage: Stage
    retry_policy: str
    retry_count: int
    next_attempt_at: datetime | None
    service_used: str | None
    model: str | None
    prompt_used: str | None
    width: int | None
    height: int | None
    content_type: str | None
    generation_time_seconds: float | None
    error_code: str | None
    error_message: str | None
    created_at: datetime
    updated_at: datetime

    @classmethod
    def from_row(cls, row: dict[str, Any]) -> "Image":
        """An image from a row with just these columns."""
        return cls(**{**row, "status": ImageStatus(row["status"]), "stage": Stage(row["stage"])})


@dataclass(frozen=True, slots=True)
class Submission:
    """What came of asking for a picture: a new task, the one in flight, or the picture that exists."""

    outcome: Literal["created", "joined", "exists"]
    image: Image


@dataclass(frozen=True, slots=True)
class ImageOptions:
    """What a client may say about a picture."""

    style_prompt: str | None = None
    aspect_ratio: str = "4:3"
    retry_policy: RetryPolicyName = RetryPolicyName.PATIENT


@dataclass(frozen=True, slots=True)
class ClaimedImage:
    """What an attempt needs to know; `attempt` fences its writes."""

    id: UUID
    attempt: int
    retry_count: int
    retry_policy: str
    style_prompt: str | None
    aspect_ratio: str
    type: str
    content: str
    language: str | None
    genre: str | None


@dataclass(frozen=True, slots=True)
class QueueableImage:
    """A pending image that is to be enqueued."""

    id: UUID
    retry_policy: str
    retry_count: int


async def submit_image(database: Executor, user_id: UUID, description_id: UUID, options: ImageOptions) -> Submission:
    """Ask for a passage's picture: 1 statement. A new row is not yet in a queue.

    Raises:
        NotFound: The user has no such passage.
    """
    for _ in range(_SUBMIT_TRIES):
        row = await database.fetch_one(
            "submit_image",
            user_id=user_id,
            description_id=description_id,
            style_prompt=options.style_prompt,
            aspect_ratio=options.aspect_ratio,
            retry_policy=options.retry_policy,
        )
        if row is None:
            raise NotFound("There is no such passage.")
        outcome = row.pop("outcome")
        if outcome is not None:
            return Submission(outcome, Image.from_row(row))
    raise NotFound("The passage's picture keeps changing; ask again.")


async def find_image(database: Executor, user_id: UUID, image_id: UUID) -> Image:
    """One image of a user, whatever its state.

    Raises:
        NotFound: The user has no such image.
    """
    row = await database.fetch_one("find_image", user_id=user_id, image_id=image_id)
    if row is None:
        raise NotFound("There is no such image.")
    return Image.from_row(row)


async def find_current_image(database: Executor, user_id: UUID, description_id: UUID) -> Image:
    """A passage's newest completed image.

    Raises:
        NotFound: The user has no such passage, or it has no picture yet.
    """
    row = await database.fetch_one("find_current_image", user_id=user_id, description_id=description_id)
    if row is None:
        raise NotFound("There is no picture of such a passage.")
    return Image.from_row(row)


async def claim_image(database: Executor, image_id: UUID, *, lease_s: float) -> ClaimedImage | None:
    """Start an attempt; None where the image is another's, over, or not due yet."""
    row = await database.fetch_one("claim_image", image_id=image_id, lease_s=lease_s)
    return ClaimedImage(**row) if row else None


async def renew_leases(database: Executor, attempts: dict[UUID, int], *, lease_s: float) -> set[UUID]:
    """Prolong the leases of these attempts (image id to attempt number); the ids that are still theirs."""
    rows = await database.fetch_all(
        "renew_leases", image_ids=list(attempts), attempts=list(attempts.values()), lease_s=lease_s
    )
    return {row["id"] for row in rows}


async def enter_stage(database: Executor, image_id: UUID, attempt: int, stage: Stage) -> bool:
    """Say where an attempt is; False where it has lost its lease."""
    row = await database.fetch_one("enter_stage", image_id=image_id, attempt=attempt, stage=stage)
    return row is not None


async def start_saving(
    database: Executor,
    image_id: UUID,
    attempt: int,
    *,
    service_used: str,
    model: str,
    prompt_used: str,
    model_version: str | None = None,
    input_tokens: int | None = None,
    output_tokens: int | None = None,
) -> bool:
    """Record what drew the picture, and what was billed for it; False where the attempt has lost its lease."""
    row = await database.fetch_one(
        "start_saving",
        image_id=image_id,
        attempt=attempt,
        service_used=service_used,
        model=model,
        model_version=model_version,
        prompt_used=prompt_used,
        input_tokens=input_tokens,
        output_tokens=output_tokens,
    )
    return row is not None


async def complete_image(
    database: Executor,
    image_id: UUID,
    attempt: int,
    *,
    content_type: str,
    size_bytes: int,
    width_px: int,
    height_px: int,
    duration_s: float,
) -> bool:
    """Finish an attempt whose bytes are in the store; False where it has lost its lease."""
    row = await database.fetch_one(
        "complete_image",
        image_id=image_id,
        attempt=attempt,
        content_type=content_type,
        file_size=size_bytes,
        width=width_px,
        height=height_px,
        generation_time_seconds=duration_s,
    )
    return row is not None


async def retry_image(
    database: Executor,
    image_id: UUID,
    attempt: int,
    *,
    max_retries: int,
    delay_s: float,
    error_code: str,
    error_message: str,
) -> int | None:
    """Put the image back for a later attempt; the retries now spent, or None where the lease or the last is gone."""
    row = await database.fetch_one(
        "retry_image",
        image_id=image_id,
        attempt=attempt,
        max_retries=max_retries,
        delay_s=delay_s,
        error_code=error_code,
        error_message=error_message,
    )
    return row["retry_count"] if row else None


async def hand_back_image(database: Executor, image_id: UUID, attempt: int) -> bool:
    """Give up an attempt that is stopped in the middle, at no cost to its retries; False where its lease is lost."""
    row = await database.fetch_one("hand_back_image", image_id=image_id, attempt=attempt)
    return row is not None


async def cancel_image(database: Executor, user_id: UUID, image_id: UUID) -> tuple[Image, bool]:
    """End a user's unfinished image; the image, and whether an attempt was under way.

    Raises:
        NotFound: The user has no such image.
        TaskOver: It is over already.
    """
    row = await database.fetch_one(
        "cancel_image", user_id=user_id, image_id=image_id, error_message="The picture was cancelled."
    )
    if row is None:
        image = await find_image(database, user_id, image_id)
        raise TaskOver(f"The task is over: {image.status}.")
    was_generating: bool = row.pop("was_generating")
    return Image.from_row(row), was_generating


async def find_fate(database: Executor, image_id: UUID) -> ImageStatus | None:
    """An image's status, for an attempt that has lost it; None where it is deleted."""
    row = await database.fetch_one("find_fate", image_id=image_id)
    return ImageStatus(row["status"]) if row else None


async def fail_image(database: Executor, image_id: UUID, attempt: int, *, error_code: str, error_message: str) -> bool:
    """End the image for good; False where the attempt has lost its lease."""
    row = await database.fetch_one(
        "fail_image", image_id=image_id, attempt=attempt, error_code=error_code, error_message=error_message
    )
    return row is not None
