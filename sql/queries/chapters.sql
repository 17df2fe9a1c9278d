-- name: insert_chapters(book_id, numbers, titles, contents)
-- Add a book's chapters in one statement: three arrays of one length.
INSERT INTO chapters (book_id, number, title, content)
SELECT :book_id, number, title, content
FROM unnest(:numbers::integer[], :titles::text[], :contents::text[]) AS given (number, title, content)
RETURNING id, number, title;

-- name: list_chapters(book_id, limit)
-- The table of contents.
SELECT id, number, title
FROM chapters
WHERE book_id = :book_id
ORDER BY number
LIMIT :limit;

-- name: find_chapter(user_id, chapter_id)^
-- One chapter of one of a user's books.
SELECT chapter.id, chapter.book_id, chapter.number, chapter.title, chapter.content
FROM chapters AS chapter
JOIN books AS book ON book.id = chapter.book_id
WHERE chapter.id = :chapter_id
  AND book.user_id = :user_id;

-- name: find_chapter_id(user_id, chapter_id)^
-- The same, without its text.
SELECT chapter.id
FROM chapters AS chapter
JOIN books AS book ON book.id = chapter.book_id
WHERE chapter.id = :chapter_id
  AND book.user_id = :user_id;
