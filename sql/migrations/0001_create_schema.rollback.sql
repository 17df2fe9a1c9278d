DROP TABLE reading_sessions;
DROP TABLE generated_images;
DROP TABLE descriptions;
DROP TABLE chapters;
DROP TABLE books;
DROP TABLE users;
