-- name: insert_book(user_id, title, author, language, genre)^
-- Add a book without its chapters.
INSERT INTO books (user_id, title, author, language, genre)
VALUES (:user_id, :title, :author, :language, :genre)
RETURNING id, title, author, language, genre, created_at;

-- name: list_books(user_id, before_created_at, before_id, limit)
-- A page of a user's books, newest first, after the given one (nulls for the first page).
SELECT id, title, author, language, genre, created_at
FROM books
WHERE user_id = :user_id
  AND (created_at, id) < (coalesce(:before_created_at::timestamptz, 'infinity'), coalesce(:before_id::uuid, 'ffffffff-ffff-ffff-ffff-ffffffffffff'))
ORDER BY created_at DESC, id DESC
LIMIT :limit;

-- name: find_book(user_id, book_id)^
-- One book of a user.
SELECT id, title, author, language, genre, created_at
FROM books
WHERE id = :book_id
  AND user_id = :user_id;

-- name: find_book_by_title(user_id, title)^
-- A user's book of that title.
SELECT id, title, author, language, genre, created_at
FROM books
WHERE user_id = :user_id
  AND title = :title
LIMIT 1;
