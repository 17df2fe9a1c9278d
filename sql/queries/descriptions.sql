-- name: insert_descriptions(chapter_ids, types, contents, positions, priority_scores)!
-- Add passages in one statement: five arrays of one length.
INSERT INTO descriptions (chapter_id, type, content, position, priority_score)
SELECT chapter_id, type, content, position, priority_score
FROM unnest(:chapter_ids::uuid[], :types::text[], :contents::text[], :positions::integer[], :priority_scores::real[])
    AS given (chapter_id, type, content, position, priority_score);

-- name: list_descriptions(chapter_id, limit)
-- A chapter's passages in the order of the text, each with its current image, if any.
SELECT description.id, description.type, description.content, description.position, description.priority_score,
    to_jsonb(image) AS image
FROM descriptions AS description
LEFT JOIN LATERAL (
    SELECT current.id, current.description_id, current.status, current.width, current.height, current.content_type,
        current.service_used, current.model, current.prompt_used, current.generation_time_seconds, current.created_at
    FROM generated_images AS current
    WHERE current.description_id = description.id
      AND current.status = 'completed'
    ORDER BY current.generated_at DESC
    LIMIT 1
) AS image ON true
WHERE description.chapter_id = :chapter_id
ORDER BY description.position, description.id
LIMIT :limit;

-- name: list_promising_descriptions(chapter_id, types, limit)
-- A chapter's best passages of the given types that have neither a picture nor one in flight.
SELECT description.id
FROM descriptions AS description
WHERE description.chapter_id = :chapter_id
  AND description.type = ANY (:types::text[])
  AND NOT EXISTS (
      SELECT 1
      FROM generated_images AS image
      WHERE image.description_id = description.id
        AND image.status IN ('pending', 'generating', 'completed')
  )
ORDER BY description.priority_score DESC
LIMIT :limit;
