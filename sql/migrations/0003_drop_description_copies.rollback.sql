ALTER TABLE generated_images
    ADD COLUMN description_text text,
    ADD COLUMN description_type text;

UPDATE generated_images AS image
SET description_text = description.content,
    description_type = description.type
FROM descriptions AS description
WHERE description.id = image.description_id;
