"""Migrations: forwards, backwards, from two processes at once, and beside a lock that a killed process left."""

import os
import subprocess

import psycopg
import pytest

from jobs.core.migrations import apply_migrations, newest_migration, rollback_migrations
from jobs.core.states import DescriptionType, ImageStatus, RetryPolicyName, Stage
from tests.conftest import PYTHON, ROOT, Sql

COUNT = len([p for p in (ROOT / "sql" / "migrations").glob("*.sql") if ".rollback" not in p.name])
ONE_PASSAGE = b"""
WITH u AS (INSERT INTO users (name, token_hash) VALUES ('a', 'h') RETURNING id),
    b AS (INSERT INTO books (user_id, title) SELECT id, 't' FROM u RETURNING id),
    c AS (INSERT INTO chapters (book_id, number, content) SELECT id, 1, 'x' FROM b RETURNING id),
    d AS (INSERT INTO descriptions (chapter_id, type, content, position)
        SELECT id, 'object', 'a lamp', 0 FROM c RETURNING id)
"""


def _columns(url: str) -> set[str]:
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT column_name FROM information_schema.columns WHERE table_name = 'generated_images'"
        )
        return {row[0] for row in rows}


def test_every_migration_goes_forward_back_and_forward_again(empty_database_url: str) -> None:
    assert len(apply_migrations(empty_database_url)) == COUNT
    assert apply_migrations(empty_database_url) == []
    full = _columns(empty_database_url)
    assert rollback_migrations(empty_database_url, 1) == [newest_migration()]
    assert len(rollback_migrations(empty_database_url, 99)) == COUNT - 1
    assert _columns(empty_database_url) == set()
    assert len(apply_migrations(empty_database_url)) == COUNT
    assert _columns(empty_database_url) == full


def test_rolling_the_dropped_columns_back_brings_their_contents_back(empty_database_url: str) -> None:
    apply_migrations(empty_database_url)
    assert {"description_text", "description_type"}.isdisjoint(_columns(empty_database_url))
    with psycopg.connect(empty_database_url) as connection:
        connection.execute(
            ONE_PASSAGE + b" INSERT INTO generated_images (description_id, user_id) SELECT d.id, u.id FROM d, u"
        )
    rollback_migrations(empty_database_url, COUNT - 2)
    with psycopg.connect(empty_database_url) as connection:
        rows = connection.execute("SELECT description_text, description_type FROM generated_images").fetchall()
    assert rows == [("a lamp", "object")]


def test_two_processes_may_migrate_at_once(empty_database_url: str) -> None:
    environment = os.environ | {"DATABASE_URL": empty_database_url}
    command = [PYTHON, "-m", "jobs.core.migrations"]
    processes = [
        subprocess.Popen(command, env=environment, cwd=ROOT, stderr=subprocess.PIPE, text=True) for _ in range(3)
    ]
    outputs = [process.communicate(timeout=60)[1] for process in processes]
    assert [process.returncode for process in processes] == [0, 0, 0], outputs
    assert sum(newest_migration() in output for output in outputs) == 1


def test_a_lock_row_that_a_killed_migration_left_does_not_hold_up_the_next(empty_database_url: str) -> None:
    apply_migrations(empty_database_url)
    rollback_migrations(empty_database_url, 1)
    with psycopg.connect(empty_database_url) as connection:
        connection.execute("INSERT INTO yoyo_lock (locked, ctime, pid) VALUES (1, now(), 1)")
    assert apply_migrations(empty_database_url) == [newest_migration()]


def test_twins_of_the_first_release_do_not_stop_the_migration(empty_database_url: str) -> None:
    apply_migrations(empty_database_url)
    rollback_migrations(empty_database_url, COUNT - 3)
    with psycopg.connect(empty_database_url) as connection:
        connection.execute(
            ONE_PASSAGE + b" INSERT INTO generated_images (description_id, user_id, status) SELECT d.id, u.id, status"
            b" FROM d, u, unnest(ARRAY['pending', 'generating', 'pending']) AS status"
        )
    apply_migrations(empty_database_url)
    with psycopg.connect(empty_database_url) as connection:
        rows = connection.execute("SELECT status, count(*) FROM generated_images GROUP BY 1 ORDER BY 1").fetchall()
    assert rows == [("failed", 2), ("pending", 1)]


@pytest.mark.parametrize(
    ("constraint", "words"),
    [
        ("generated_images_status_known", ImageStatus),
        ("generated_images_stage_known", Stage),
        ("generated_images_retry_policy_known", RetryPolicyName),
        ("descriptions_type_known", DescriptionType),
    ],
)
def test_the_schema_and_the_code_know_the_same_words(sql: Sql, constraint: str, words: type[ImageStatus]) -> None:
    [row] = sql("SELECT pg_get_constraintdef(oid) AS text FROM pg_constraint WHERE conname = %s", constraint)
    assert {part for part in row["text"].split("'") if part.isidentifier() and part.islower()} == set(words)
