-- name: insert_user(name, token_hash, is_admin)^
-- Create a user; no row: the name is taken.
INSERT INTO users (name, token_hash, is_admin)
VALUES (:name, :token_hash, :is_admin)
ON CONFLICT ON CONSTRAINT users_name_unique DO NOTHING
RETURNING id, name, is_admin;

-- name: replace_token(name, token_hash)^
-- Give a user another token; the old one ends. No row: there is no such user.
UPDATE users
SET token_hash = :token_hash
WHERE name = :name
RETURNING id, name, is_admin;

-- name: find_user(token_hash)^
-- The user whom a token belongs to.
SELECT id, name, is_admin
FROM users
WHERE token_hash = :token_hash;
