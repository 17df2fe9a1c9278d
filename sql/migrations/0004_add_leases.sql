-- What the guarded state changes need: the attempt that owns a row, until when, and when the next one is due.
ALTER TABLE generated_images
    ADD COLUMN stage text NOT NULL DEFAULT 'queued',
    ADD COLUMN retry_policy text NOT NULL DEFAULT 'patient',
    ADD COLUMN aspect_ratio text NOT NULL DEFAULT '4:3',
    ADD COLUMN attempt integer NOT NULL DEFAULT 0,
    ADD COLUMN lost_count integer NOT NULL DEFAULT 0,
    ADD COLUMN enqueued_at timestamptz NOT NULL DEFAULT now(),
    ADD COLUMN next_attempt_at timestamptz,
    ADD COLUMN lease_expires_at timestamptz,
    ADD COLUMN error_code text,
    ADD COLUMN content_type text;

-- Rows of the first release, which had neither leases nor codes.
UPDATE generated_images SET stage = status WHERE status IN ('completed', 'failed');
UPDATE generated_images SET error_code = 'internal' WHERE status = 'failed';
UPDATE generated_images SET status = 'pending' WHERE status = 'generating';
UPDATE generated_images AS image
SET status = 'failed', stage = 'failed', error_code = 'cancelled'
FROM generated_images AS newer
WHERE image.status = 'pending'
  AND newer.status = 'pending'
  AND newer.description_id = image.description_id
  AND (newer.created_at, newer.id) > (image.created_at, image.id);
UPDATE generated_images SET content_type = 'image/png' WHERE status = 'completed';

ALTER TABLE generated_images
    ADD CONSTRAINT generated_images_stage_known
        CHECK (stage IN ('queued', 'translating', 'drawing', 'saving', 'retrying', 'completed', 'failed')),
    ADD CONSTRAINT generated_images_retry_policy_known CHECK (retry_policy IN ('patient', 'impatient')),
    ADD CONSTRAINT generated_images_leased_while_generating
        CHECK ((status = 'generating') = (lease_expires_at IS NOT NULL)),
    ADD CONSTRAINT generated_images_next_attempt_while_pending
        CHECK (next_attempt_at IS NULL OR status = 'pending'),
    ADD CONSTRAINT generated_images_failed_has_code CHECK (status <> 'failed' OR error_code IS NOT NULL),
    ADD CONSTRAINT generated_images_completed_has_type CHECK (status <> 'completed' OR content_type IS NOT NULL);

-- Serves submit_image: one picture per passage in flight, so a second request joins the first.
CREATE UNIQUE INDEX idx_images_one_in_flight ON generated_images (description_id)
    WHERE status IN ('pending', 'generating');
