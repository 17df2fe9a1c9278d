DROP INDEX idx_images_one_in_flight;

ALTER TABLE generated_images
    DROP COLUMN stage,
    DROP COLUMN retry_policy,
    DROP COLUMN aspect_ratio,
    DROP COLUMN attempt,
    DROP COLUMN lost_count,
    DROP COLUMN enqueued_at,
    DROP COLUMN next_attempt_at,
    DROP COLUMN lease_expires_at,
    DROP COLUMN error_code,
    DROP COLUMN content_type;
