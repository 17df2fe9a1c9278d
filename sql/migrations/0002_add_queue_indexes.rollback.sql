DROP INDEX idx_descriptions_chapter_priority;
DROP INDEX idx_images_failed_retry;
DROP INDEX idx_images_queue;
