-- descriptions holds the passage and its type; a second copy on every image could only disagree with it.
ALTER TABLE generated_images
    DROP COLUMN description_text,
    DROP COLUMN description_type;
