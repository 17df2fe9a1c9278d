"""`generate_image`: one attempt at one picture, from claim to completed row; design section 4."""

import asyncio
import time
from uuid import UUID

import structlog

from jobs.core.errors import (
    BadPicture,
    GaveUp,
    HandedBack,
    LeaseLost,
    Overdue,
    ProviderError,
    RetryLater,
    VignetteError,
    describe_exception,
)
from jobs.core.images import (
    ClaimedImage,
    claim_image,
    complete_image,
    enter_stage,
    fail_image,
    find_fate,
    hand_back_image,
    retry_image,
    start_saving,
)
from jobs.core.logs import get_logger
from jobs.core.queues import NORMAL
from jobs.core.retries import IMAGE_POLICIES
from jobs.core.states import AspectRatio, ImageStatus, Stage
from jobs.illustration.languages import is_english
from jobs.illustration.picture import PictureFacts, inspect_picture
from jobs.illustration.prompts import compose_prompt
from jobs.illustration.provider import PictureRequest
from jobs.tasks.resources import Resources, use_resources

_ATTEMPT_S = NORMAL.job_timeout_s - 15  # ends before RQ's own time-out would, and so leaves the row in order

log = get_logger(__name__)


async def generate_image(image_id: str) -> None:
    """Draw, keep and record one picture. Ends quietly where the image is another's or over.

    A crash leaves the row `generating` until its lease runs out; reconcile then sends it round again, and the bytes, if
    they were kept, are used.

    Raises:
        HandedBack: The process is told to stop; another worker may have the image at once.
        RetryLater: The attempt failed and the row waits for the next one.
        GaveUp: The row is `failed`.
    """
    with structlog.contextvars.bound_contextvars(task_id=image_id):
        async with use_resources() as resources:
            claimed = await claim_image(resources.database, UUID(image_id), lease_s=resources.leases.lease_s)
            if claimed is None:
                log.info("claim_image", outcome="not_ours")
                return
            log.info("claim_image", outcome="claimed", attempt=claimed.attempt, retry_count=claimed.retry_count)
            try:
                async with resources.leases.hold(claimed.id, claimed.attempt):
                    await _attempt_image(resources, claimed)
            except LeaseLost:
                await _clean_up_after_loss(resources, claimed)
            except asyncio.CancelledError:
                await _hand_back(resources, claimed)
            except VignetteError as error:
                await _end_attempt(resources, claimed, error)
            except Exception as error:
                log.exception("generate_image", attempt=claimed.attempt)
                await _end_attempt(resources, claimed, error)


async def _attempt_image(resources: Resources, claimed: ClaimedImage) -> None:
    started_at = time.monotonic()
    try:
        async with asyncio.timeout(_ATTEMPT_S):
            facts = await _find_kept_picture(resources, claimed) or await _draw_picture(resources, claimed)
    except TimeoutError:
        raise Overdue(f"The picture was not ready after {_ATTEMPT_S} seconds.") from None
    completed = await complete_image(
        resources.database,
        claimed.id,
        claimed.attempt,
        content_type=facts.content_type,
        size_bytes=facts.size_bytes,
        width_px=facts.width_px,
        height_px=facts.height_px,
        duration_s=time.monotonic() - started_at,
    )
    if not completed:
        raise LeaseLost("Another attempt has this image, or it is over.")
    log.info(
        "complete_image",
        attempt=claimed.attempt,
        size_bytes=facts.size_bytes,
        provider=resources.provider.name,
    )


async def _find_kept_picture(resources: Resources, claimed: ClaimedImage) -> PictureFacts | None:
    """The picture that an earlier attempt drew and kept before it died: it was paid for."""
    if claimed.attempt == 1:
        return None
    data = await resources.store.get_image(str(claimed.id))
    if data is None:
        return None
    try:
        return await asyncio.to_thread(inspect_picture, data)
    except BadPicture:
        log.warning("find_kept_picture", attempt=claimed.attempt, error_code=BadPicture.code)
        await resources.store.delete_image(str(claimed.id))  # a disk's fault; it would fail every attempt to come
        return None


async def _draw_picture(resources: Resources, claimed: ClaimedImage) -> PictureFacts:
    """Draw, check and keep a picture; from here on it is paid for, so its bytes are kept before anything else."""
    provider = resources.provider
    passage, note = await _read_in_english(resources, claimed)
    prompt = compose_prompt(
        passage, description_type=claimed.type, genre=claimed.genre, style_prompt=claimed.style_prompt
    )
    picture = await provider.draw_picture(PictureRequest(claimed.content, prompt, AspectRatio(claimed.aspect_ratio)))
    facts = await asyncio.to_thread(inspect_picture, picture.data)
    kept = await resources.store.put_image(str(claimed.id), picture.data)
    saving = await start_saving(
        resources.database,
        claimed.id,
        claimed.attempt,
        service_used=provider.name,
        model=provider.model,
        prompt_used=prompt + note,
        model_version=picture.model_version,
        input_tokens=picture.input_tokens,
        output_tokens=picture.output_tokens,
    )
    if not saving or not kept:  # bytes that were there are another attempt's, which has the image or is dead
        raise LeaseLost("Another attempt has this image, or it is over.")
    return facts


async def _read_in_english(resources: Resources, claimed: ClaimedImage) -> tuple[str, str]:
    """The passage in English, as far as there is a translator and need of one, and what the row has to say of it."""
    translator = resources.translator
    if translator is None or not resources.provider.reads_prompt:
        return claimed.content, ""
    if is_english(claimed.content, declared=claimed.language):
        return claimed.content, ""
    await _enter_stage(resources, claimed, Stage.TRANSLATING)
    translation = await translator.translate(claimed.content)
    await _enter_stage(resources, claimed, Stage.DRAWING)
    if translation.error_code is not None:
        return translation.text, f" (The passage was not translated: {translation.error_code}.)"
    return translation.text, ""


async def _enter_stage(resources: Resources, claimed: ClaimedImage, stage: Stage) -> None:
    if not await enter_stage(resources.database, claimed.id, claimed.attempt, stage):
        raise LeaseLost("Another attempt has this image, or it is over.")


async def _hand_back(resources: Resources, claimed: ClaimedImage) -> None:
    if await hand_back_image(resources.database, claimed.id, claimed.attempt):
        log.info("hand_back_image", attempt=claimed.attempt)
        raise HandedBack("The worker was told to stop.") from None
    await _clean_up_after_loss(resources, claimed)


async def _clean_up_after_loss(resources: Resources, claimed: ClaimedImage) -> None:
    """End quietly; bytes that no row will ever name go too."""
    fate = await find_fate(resources.database, claimed.id)
    log.warning("lease_lost", attempt=claimed.attempt, fate=fate)
    if fate is None or fate is ImageStatus.FAILED:
        await resources.store.delete_image(str(claimed.id))


async def _end_attempt(resources: Resources, claimed: ClaimedImage, error: Exception) -> None:
    """Put the row back for a retry, or fail it; tell RQ which."""
    if isinstance(error, VignetteError):
        code, message, retryable = error.code, str(error), error.retryable
    else:
        code, message, retryable = VignetteError.code, f"An error of ours: {describe_exception(error)}.", True
    asked_s = error.retry_after_s if isinstance(error, ProviderError) else None
    policy = IMAGE_POLICIES[claimed.retry_policy]
    if retryable:
        delay_s = policy.delay_s(claimed.retry_count, asked_s=asked_s)
        spent = await retry_image(
            resources.database,
            claimed.id,
            claimed.attempt,
            max_retries=policy.retries,
            delay_s=delay_s,
            error_code=code,
            error_message=message,
        )
        if spent is not None:
            log.warning("retry_image", attempt=claimed.attempt, error_code=code, delay_s=round(delay_s, 1))
            raise RetryLater(code, delay_s=delay_s, retries_left=policy.retries - spent) from None
    if await fail_image(resources.database, claimed.id, claimed.attempt, error_code=code, error_message=message):
        log.error("fail_image", attempt=claimed.attempt, error_code=code)
        raise GaveUp(code) from None
    await _clean_up_after_loss(resources, claimed)
