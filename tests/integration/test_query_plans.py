"""The named indexes serve their queries, read off EXPLAIN with 100 000 images and 100 000 passages."""

import re

import psycopg
import pytest
from psycopg import sql as syntax

from jobs.core.database import load_queries
from tests.conftest import Sql

ROWS = 100_000


@pytest.fixture
def full_tables(sql: Sql) -> Sql:
    sql(
        """
        WITH u AS (INSERT INTO users (name, token_hash) VALUES ('a', 'h') RETURNING id),
            b AS (INSERT INTO books (user_id, title) SELECT id, 't' FROM u RETURNING id),
            c AS (INSERT INTO chapters (book_id, number, content)
                SELECT b.id, n, 'x' FROM b, generate_series(1, 1000) AS n RETURNING id)
        INSERT INTO descriptions (chapter_id, type, content, position, priority_score)
        SELECT c.id, 'object', 'x', n, n / 100.0 FROM c, generate_series(1, 100) AS n
        """
    )
    sql(
        """
        INSERT INTO generated_images (description_id, user_id, status, stage, error_code, content_type, generated_at,
            created_at, retry_count, lease_expires_at)
        SELECT id, (SELECT id FROM users), status, CASE WHEN status = 'pending' THEN 'queued' ELSE status END,
            CASE WHEN status = 'failed' THEN 'timeout' END, CASE WHEN status = 'completed' THEN 'image/png' END,
            CASE WHEN status = 'completed' THEN now() END, now() - n * interval '1 second', n % 7, NULL
        FROM (
            SELECT id, n,
                CASE n % 100 WHEN 0 THEN 'pending' WHEN 1 THEN 'failed' ELSE 'completed' END AS status
            FROM (SELECT id, row_number() OVER () AS n FROM descriptions) AS numbered
        ) AS chosen
        """
    )
    sql("ANALYZE")
    assert sql("SELECT count(*) AS n FROM generated_images")[0]["n"] == ROWS
    return sql


def _explain(sql: Sql, name: str, **parameters: object) -> str:
    text = re.sub(r"(?<![:\w]):(\w+)", lambda found: _literal(parameters[found[1]]), _statement(name))
    return "\n".join(row["QUERY PLAN"] for row in sql(f"EXPLAIN {text}"))


def _statement(name: str) -> str:
    statement: str = getattr(load_queries(), name).sql
    return re.sub(r"%\((\w+)\)s", r":\1", statement)


def _literal(value: object) -> str:
    return syntax.Literal(value).as_string(None)


def test_the_queue_index_serves_reconcile(full_tables: Sql) -> None:
    waiting = _explain(
        full_tables, "list_waiting_images", after_created_at=None, after_id=None, overdue_s=10, limit=1000
    )
    assert "idx_images_queue" in waiting
    expired = _explain(full_tables, "release_expired_leases", max_lost=6, error_message="x", limit=1000)
    assert "idx_images_queue" in expired
    assert "Seq Scan" not in waiting + expired


def test_the_failed_retry_index_serves_the_operators_second_chance(full_tables: Sql) -> None:
    plan = _explain(full_tables, "retry_failed_images", excluded_codes=["blocked"], older_than_s=0, limit=100)
    assert "idx_images_failed_retry" in plan
    assert "Seq Scan" not in plan


def test_the_priority_index_serves_a_chapters_best_passages(full_tables: Sql) -> None:
    [chapter] = full_tables("SELECT id FROM chapters LIMIT 1")
    plan = _explain(full_tables, "list_promising_descriptions", chapter_id=chapter["id"], types=["object"], limit=5)
    assert "idx_descriptions_chapter_priority" in plan
    assert "Seq Scan" not in plan


def test_a_submission_and_a_status_read_by_index(full_tables: Sql) -> None:
    [row] = full_tables("SELECT id, description_id, user_id FROM generated_images LIMIT 1")
    submit = _explain(
        full_tables, "submit_image", user_id=row["user_id"], description_id=row["description_id"], style_prompt=None,
        aspect_ratio="4:3", retry_policy="patient",
    )  # fmt: skip
    status = _explain(full_tables, "find_image", user_id=row["user_id"], image_id=row["id"])
    assert "generated_images_pkey" in status
    assert not re.search(r"Seq Scan on (generated_images|descriptions|chapters)", submit + status)


def test_rows_cannot_be_in_an_impossible_state(sql: Sql, full_tables: Sql) -> None:
    for change in (
        "status = 'generating'",  # without a lease
        "lease_expires_at = now()",  # a lease without an attempt
        "status = 'failed'",  # without a code
        "status = 'done'",
    ):
        with pytest.raises(psycopg.errors.CheckViolation):
            sql(f"UPDATE generated_images SET {change} WHERE status = 'completed'")
