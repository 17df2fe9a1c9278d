-- The schema as the first release has it.

CREATE TABLE users (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    name text NOT NULL CONSTRAINT users_name_unique UNIQUE,
    token_hash bytea NOT NULL CONSTRAINT users_token_hash_unique UNIQUE,
    is_admin boolean NOT NULL DEFAULT false,
    created_at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE books (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    title text NOT NULL,
    author text,
    language text,
    genre text,
    created_at timestamptz NOT NULL DEFAULT now()
);
-- Serves list_books: a user's books, newest first.
CREATE INDEX idx_books_user ON books (user_id, created_at DESC, id DESC);

CREATE TABLE chapters (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    book_id uuid NOT NULL REFERENCES books ON DELETE CASCADE,
    number integer NOT NULL,
    title text,
    content text NOT NULL,
    CONSTRAINT chapters_number_unique UNIQUE (book_id, number),
    CONSTRAINT chapters_number_from_one CHECK (number >= 1)
);

CREATE TABLE descriptions (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    chapter_id uuid NOT NULL REFERENCES chapters ON DELETE CASCADE,
    type text NOT NULL,
    content text NOT NULL,
    position integer NOT NULL,
    priority_score real NOT NULL DEFAULT 0.5,
    CONSTRAINT descriptions_type_known CHECK (type IN ('location', 'character', 'atmosphere', 'object', 'action')),
    CONSTRAINT descriptions_position_in_text CHECK (position >= 0),
    CONSTRAINT descriptions_priority_score_range CHECK (priority_score BETWEEN 0 AND 1)
);

CREATE TABLE generated_images (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    description_id uuid NOT NULL REFERENCES descriptions ON DELETE CASCADE,
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    status text NOT NULL DEFAULT 'pending',
    service_used text,
    model text,
    prompt_used text,
    style_prompt text,
    description_text text,
    description_type text,
    retry_count integer NOT NULL DEFAULT 0,
    error_message text,
    file_size integer,
    width integer,
    height integer,
    generation_time_seconds double precision,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    generated_at timestamptz,
    CONSTRAINT generated_images_status_known CHECK (status IN ('pending', 'generating', 'completed', 'failed')),
    CONSTRAINT generated_images_retry_count_positive CHECK (retry_count >= 0)
);
-- Serves find_current_image and the image beside each passage of a chapter.
CREATE INDEX idx_images_current ON generated_images (description_id, generated_at DESC) WHERE status = 'completed';
-- Serves the cascade from descriptions; the partial indexes do not.
CREATE INDEX idx_images_description ON generated_images (description_id);

CREATE TABLE reading_sessions (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    user_id uuid NOT NULL REFERENCES users ON DELETE CASCADE,
    book_id uuid NOT NULL REFERENCES books ON DELETE CASCADE,
    started_at timestamptz NOT NULL DEFAULT now(),
    last_activity_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz,
    CONSTRAINT reading_sessions_end_after_start CHECK (ended_at >= started_at)
);
