-- Serves list_waiting_images and release_expired_leases: what is unfinished, oldest first.
CREATE INDEX idx_images_queue ON generated_images (created_at, retry_count)
    WHERE status IN ('pending', 'generating');

-- Serves retry_failed_images: what an operator may send round again.
CREATE INDEX idx_images_failed_retry ON generated_images (retry_count, created_at)
    WHERE status = 'failed' AND retry_count < 5;

-- Serves list_promising_descriptions: a chapter's best passages first.
CREATE INDEX idx_descriptions_chapter_priority ON descriptions (chapter_id, priority_score DESC);
