-- name: submit_image(user_id, description_id, style_prompt, aspect_ratio, retry_policy)^
-- Ask for a passage's picture, in one statement: the current picture if there is one, else the picture in flight,
-- else a new pending row. outcome is 'exists', 'joined' or 'created'. With a passage but no image, a request that
-- committed a moment ago got in between: ask again. No row: the user has no such passage.
WITH passage AS (
    SELECT description.id
    FROM descriptions AS description
    JOIN chapters AS chapter ON chapter.id = description.chapter_id
    JOIN books AS book ON book.id = chapter.book_id
    WHERE description.id = :description_id
      AND book.user_id = :user_id
), present AS (
    SELECT image.*
    FROM generated_images AS image
    JOIN passage ON passage.id = image.description_id
    WHERE image.status IN ('pending', 'generating', 'completed')
    ORDER BY image.status = 'completed', image.generated_at DESC
    LIMIT 1
), created AS (
    INSERT INTO generated_images (description_id, user_id, style_prompt, aspect_ratio, retry_policy)
    SELECT passage.id, :user_id, :style_prompt, :aspect_ratio, :retry_policy
    FROM passage
    WHERE NOT EXISTS (SELECT 1 FROM present)
    ON CONFLICT (description_id) WHERE status IN ('pending', 'generating') DO NOTHING
    RETURNING *
), answer AS (
    SELECT CASE WHEN status = 'completed' THEN 'exists' ELSE 'joined' END AS outcome, present.* FROM present
    UNION ALL
    SELECT 'created' AS outcome, created.* FROM created
)
SELECT answer.outcome, answer.id, passage.id AS description_id, answer.status, answer.stage, answer.retry_policy,
    answer.retry_count, answer.next_attempt_at, answer.service_used, answer.model, answer.prompt_used,
    answer.width, answer.height, answer.content_type, answer.generation_time_seconds,
    answer.error_code, answer.error_message, answer.created_at, answer.updated_at
FROM passage
LEFT JOIN answer ON true;

-- name: find_image(user_id, image_id)^
-- One image of a user, whatever its state.
SELECT id, description_id, status, stage, retry_policy, retry_count, next_attempt_at, service_used, model,
    prompt_used, width, height, content_type, generation_time_seconds, error_code, error_message,
    created_at, updated_at
FROM generated_images
WHERE id = :image_id
  AND user_id = :user_id;

-- name: find_current_image(user_id, description_id)^
-- A passage's newest completed image.
SELECT id, description_id, status, stage, retry_policy, retry_count, next_attempt_at, service_used, model,
    prompt_used, width, height, content_type, generation_time_seconds, error_code, error_message,
    created_at, updated_at
FROM generated_images
WHERE description_id = :description_id
  AND user_id = :user_id
  AND status = 'completed'
ORDER BY generated_at DESC
LIMIT 1;

-- name: claim_image(image_id, lease_s)^
-- Start an attempt on a pending image that is due, with a new attempt number and a lease of lease_s seconds.
-- No row: somebody else has it, it is over, or its next attempt is not due.
UPDATE generated_images AS image
SET status = 'generating',
    stage = 'drawing',
    attempt = image.attempt + 1,
    lease_expires_at = now() + make_interval(secs => :lease_s),
    next_attempt_at = NULL,
    updated_at = now()
FROM descriptions AS description
JOIN chapters AS chapter ON chapter.id = description.chapter_id
JOIN books AS book ON book.id = chapter.book_id
WHERE image.id = :image_id
  AND image.status = 'pending'
  AND (image.next_attempt_at IS NULL OR image.next_attempt_at <= now())
  AND description.id = image.description_id
RETURNING image.id, image.attempt, image.retry_count, image.retry_policy, image.style_prompt, image.aspect_ratio,
    description.type, description.content, book.language, book.genre;

-- name: renew_leases(image_ids, attempts, lease_s)
-- Prolong the leases of a worker's attempts, in one statement: two arrays of one length. An attempt that is not
-- among the answered ids has lost its row.
UPDATE generated_images AS image
SET lease_expires_at = now() + make_interval(secs => :lease_s)
FROM unnest(:image_ids::uuid[], :attempts::integer[]) AS mine (id, attempt)
WHERE image.id = mine.id
  AND image.attempt = mine.attempt
  AND image.status = 'generating'
RETURNING image.id;

-- name: enter_stage(image_id, attempt, stage)^
-- Say where an attempt is. No row: the attempt has lost its lease.
UPDATE generated_images
SET stage = :stage,
    updated_at = now()
WHERE id = :image_id
  AND attempt = :attempt
  AND status = 'generating'
RETURNING id;

-- name: start_saving(image_id, attempt, service_used, model, model_version, prompt_used, input_tokens, output_tokens)^
-- Record what drew the picture whose bytes are in the store: a later attempt that finds them need not know. No row: the attempt has lost its lease.
UPDATE generated_images
SET stage = 'saving',
    service_used = :service_used,
    model = :model,
    model_version = :model_version,
    prompt_used = :prompt_used,
    input_tokens = :input_tokens,
    output_tokens = :output_tokens,
    updated_at = now()
WHERE id = :image_id
  AND attempt = :attempt
  AND status = 'generating'
RETURNING id;

-- name: complete_image(image_id, attempt, content_type, file_size, width, height, generation_time_seconds)^
-- Finish an attempt whose bytes are in the store. No row: the attempt has lost its lease.
UPDATE generated_images
SET status = 'completed',
    stage = 'completed',
    lease_expires_at = NULL,
    error_code = NULL,
    error_message = NULL,
    content_type = :content_type,
    file_size = :file_size,
    width = :width,
    height = :height,
    generation_time_seconds = :generation_time_seconds,
    generated_at = now(),
    updated_at = now()
WHERE id = :image_id
  AND attempt = :attempt
  AND status = 'generating'
RETURNING id;

-- name: retry_image(image_id, attempt, max_retries, delay_s, error_code, error_message)^
-- Put an attempt's image back for a later attempt, in delay_s seconds. No row: the attempt has lost its lease, or the
-- last retry is spent.
UPDATE generated_images
SET status = 'pending',
    stage = 'retrying',
    retry_count = retry_count + 1,
    lease_expires_at = NULL,
    next_attempt_at = now() + make_interval(secs => :delay_s),
    error_code = :error_code,
    error_message = :error_message,
    updated_at = now()
WHERE id = :image_id
  AND attempt = :attempt
  AND status = 'generating'
  AND retry_count < :max_retries
RETURNING id, retry_count;

-- name: fail_image(image_id, attempt, error_code, error_message)^
-- End an attempt's image for good. No row: the attempt has lost its lease.
UPDATE generated_images
SET status = 'failed',
    stage = 'failed',
    lease_expires_at = NULL,
    error_code = :error_code,
    error_message = :error_message,
    updated_at = now()
WHERE id = :image_id
  AND attempt = :attempt
  AND status = 'generating'
RETURNING id, retry_count;

-- name: hand_back_image(image_id, attempt)^
-- Give up an attempt that is stopped in the middle, at no cost to its retries. No row: it has lost its lease.
UPDATE generated_images
SET status = 'pending',
    stage = 'queued',
    lease_expires_at = NULL,
    enqueued_at = now(),
    updated_at = now()
WHERE id = :image_id
  AND attempt = :attempt
  AND status = 'generating'
RETURNING id;

-- name: cancel_image(user_id, image_id, error_message)^
-- End a user's unfinished image; was_generating says whether an attempt was under way. No row: it is over, or another's.
WITH unfinished AS (
    SELECT id, status
    FROM generated_images
    WHERE id = :image_id
      AND user_id = :user_id
      AND status IN ('pending', 'generating')
    FOR UPDATE
)
UPDATE generated_images AS image
SET status = 'failed',
    stage = 'failed',
    lease_expires_at = NULL,
    next_attempt_at = NULL,
    error_code = 'cancelled',
    error_message = :error_message,
    updated_at = now()
FROM unfinished
WHERE image.id = unfinished.id
RETURNING unfinished.status = 'generating' AS was_generating, image.id, image.description_id, image.status, image.stage,
    image.retry_policy, image.retry_count, image.next_attempt_at, image.service_used, image.model, image.prompt_used,
    image.width, image.height, image.content_type, image.generation_time_seconds, image.error_code,
    image.error_message, image.created_at, image.updated_at;

-- name: find_fate(image_id)^
-- An image's status, for an attempt that has lost it; no row: it is deleted.
SELECT status
FROM generated_images
WHERE id = :image_id;

-- name: list_unfinished_ids(image_ids, over_s)
-- Which of these images are unfinished, or became over less than over_s seconds ago.
SELECT id
FROM generated_images
WHERE id = ANY (:image_ids::uuid[])
  AND (status IN ('pending', 'generating') OR updated_at > now() - make_interval(secs => :over_s));

-- name: release_expired_leases(max_lost, error_message, limit)
-- Take back images whose worker died: pending again, or failed where max_lost workers have died over one image.
WITH expired AS (
    SELECT id
    FROM generated_images
    WHERE status IN ('pending', 'generating')
      AND status = 'generating'
      AND lease_expires_at < now()
    ORDER BY created_at
    LIMIT :limit
    FOR UPDATE SKIP LOCKED
)
UPDATE generated_images AS image
SET status = CASE WHEN image.lost_count + 1 < :max_lost THEN 'pending' ELSE 'failed' END,
    stage = CASE WHEN image.lost_count + 1 < :max_lost THEN 'queued' ELSE 'failed' END,
    error_code = CASE WHEN image.lost_count + 1 < :max_lost THEN image.error_code ELSE 'worker_lost' END,
    error_message = CASE WHEN image.lost_count + 1 < :max_lost THEN image.error_message ELSE :error_message END,
    lost_count = image.lost_count + 1,
    lease_expires_at = NULL,
    enqueued_at = now(),
    updated_at = now()
FROM expired
WHERE image.id = expired.id
RETURNING image.id, image.status, image.retry_policy, image.retry_count;

-- name: list_waiting_images(after_created_at, after_id, overdue_s, limit)
-- A page of the pending images, oldest first, that ought to be in a queue: enqueued, or due for their next attempt,
-- more than overdue_s seconds ago. Starts after the given image (nulls for the first page).
SELECT id, created_at
FROM generated_images
WHERE status IN ('pending', 'generating')
  AND status = 'pending'
  AND coalesce(next_attempt_at, enqueued_at) < now() - make_interval(secs => :overdue_s)
  AND (created_at, id) > (coalesce(:after_created_at::timestamptz, '-infinity'), coalesce(:after_id::uuid, '00000000-0000-0000-0000-000000000000'))
ORDER BY created_at, id
LIMIT :limit;

-- name: mark_enqueued(image_ids, overdue_s)
-- Take the right to enqueue these images: the ones answered are still pending and overdue, and no other reconcile
-- gets them for the next overdue_s seconds.
UPDATE generated_images
SET enqueued_at = now(),
    next_attempt_at = NULL,
    stage = 'queued'
WHERE id = ANY (:image_ids::uuid[])
  AND status = 'pending'
  AND coalesce(next_attempt_at, enqueued_at) < now() - make_interval(secs => :overdue_s)
RETURNING id, retry_policy, retry_count;

-- name: retry_failed_images(excluded_codes, older_than_s, limit)
-- Send failed images round again, with all their retries: those with the fewest retries spent first, the newest
-- of each passage, and none whose passage has a picture or one in flight.
WITH candidates AS (
    SELECT image.id, image.description_id, image.created_at
    FROM generated_images AS image
    WHERE image.status = 'failed'
      AND image.retry_count < 5
      AND image.error_code <> ALL (:excluded_codes::text[])
      AND image.updated_at < now() - make_interval(secs => :older_than_s)
      AND NOT EXISTS (
          SELECT 1
          FROM generated_images AS other
          WHERE other.description_id = image.description_id
            AND other.status IN ('pending', 'generating', 'completed')
      )
    ORDER BY image.retry_count, image.created_at
    LIMIT :limit
    FOR UPDATE OF image SKIP LOCKED
), chosen AS (
    SELECT DISTINCT ON (description_id) id
    FROM candidates
    ORDER BY description_id, created_at DESC
)
UPDATE generated_images AS image
SET status = 'pending',
    stage = 'queued',
    retry_count = 0,
    lost_count = 0,
    error_code = NULL,
    error_message = NULL,
    enqueued_at = now(),
    updated_at = now()
FROM chosen
WHERE image.id = chosen.id
RETURNING image.id, image.retry_policy, image.retry_count;
