"""The HTTP side, over the wire."""

import asyncio
import io
import json
import uuid
import zlib
from contextlib import closing
from typing import Any, cast

import pytest
import redis

from jobs.core.database import Database
from jobs.core.users import User
from tests.conftest import Client, Shelf, Sql, make_shelf

Account = tuple[User, str]
BOOK = {
    "title": "Книга",
    "language": "ru",
    "chapters": [
        {"title": "Один", "content": "Тихо. Над рекой стоял туман.", "descriptions": [
            {"type": "atmosphere", "content": "Над рекой стоял туман.", "priority_score": 0.7}]},
        {"content": "Конец."},
    ],
}  # fmt: skip
DEEP = "after=" + "W1tb" * 4000  # a JSON that nests too deep, in base64
MISPLACED = {"type": "object", "content": "y", "position": 0}


async def test_asking_with_no_token_or_a_wrong_one_is_401(client: Client) -> None:
    for nobody in (client.with_token(None), client.with_token("wrong"), client.with_token("x" * 5000)):
        answer = await nobody("GET", "/books")
        assert (answer.status, answer.json["code"]) == (401, "unauthenticated")
        assert answer.headers["www-authenticate"] == "Bearer"
        assert answer.headers["content-type"] == "application/problem+json"


async def test_the_page_signs_in_and_out_with_a_cookie(client: Client, alice: Account) -> None:
    nobody = client.with_token(None)
    assert (await nobody("POST", "/session", json={"token": "wrong"})).status == 401
    answer = await nobody("POST", "/session", json={"token": alice[1]})
    cookie = answer.headers["set-cookie"]
    assert answer.status == 204
    assert {"HttpOnly", "SameSite=strict"} <= {part.strip() for part in cookie.split(";")}
    assert (await nobody("GET", "/books", headers={"Cookie": cookie.partition(";")[0]})).status == 200
    gone = await nobody("DELETE", "/session")
    assert gone.status == 204
    assert "Max-Age=0" in gone.headers["set-cookie"]


async def test_a_book_goes_in_and_comes_out(client: Client) -> None:
    made = await client("POST", "/books", json=BOOK)
    assert made.status == 201
    assert made.headers["location"] == f"/books/{made.json['id']}"
    book = (await client("GET", made.headers["location"])).json
    assert book == made.json
    assert [chapter["title"] for chapter in book["chapters"]] == ["Один", None]
    chapter = (await client("GET", f"/chapters/{book['chapters'][0]['id']}")).json
    [passage] = chapter["descriptions"]
    assert chapter["content"][passage["position"] :] == passage["content"]
    assert (passage["priority_score"], passage["image"]) == (0.7, None)


async def test_books_come_in_pages_newest_first(client: Client) -> None:
    made = [(await client("POST", "/books", json=BOOK | {"title": f"{n}"})).json["id"] for n in range(5)]
    found, path = [], "/books?limit=2"
    while path:
        page = (await client("GET", path)).json
        assert len(page["items"]) <= 2
        found += [book["id"] for book in page["items"]]
        path = page["next"]
    assert found == made[::-1]


@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({}, "title"),
        ([], "body"),
        (BOOK | {"colour": "red"}, "colour"),
        (BOOK | {"title": ""}, "title"),
        (BOOK | {"title": "a\u0000b"}, "title"),
        (BOOK | {"language": "Русский"}, "language"),
        (BOOK | {"chapters": []}, "chapters"),
        (BOOK | {"chapters": [{"content": "x", "descriptions": [{"type": "smell", "content": "x"}]}]}, "type"),
        (BOOK | {"chapters": [{"content": "x", "descriptions": [{"type": "object", "content": "y"}]}]}, "content"),
        (
            BOOK
            | {"chapters": [{"content": "xy", "descriptions": [{"type": "object", "content": "y", "position": 0}]}]},
            "position",
        ),
    ],
)
async def test_a_book_that_is_not_allowed_names_the_field(client: Client, sql: Sql, body: object, field: str) -> None:
    answer = await client("POST", "/books", json=body)
    assert (answer.status, answer.json["code"]) == (422, "invalid")
    assert field in answer.json["errors"][0]["field"]
    assert sql("SELECT 1 FROM books") == []


async def test_bodies_that_are_no_json_or_too_long_are_refused(client: Client, shelf: Shelf) -> None:
    path = f"/images/generate/async/{shelf.description_ids[0]}"
    for data in (b"{nope", b"\xff\xfe", b"[" * 60_000):
        assert (await client("POST", path, data=data)).json["code"] == "malformed"
    assert (await client("POST", path, data=b" " * 1_000_000)).status == 413

    async def chunks() -> object:
        for _ in range(100):
            yield b" " * 1024

    assert (await client("POST", path, data=chunks())).status == 413
    assert (await client("POST", "/books", data=io.BytesIO(b" " * (8 * 1024 * 1024 + 1)))).status == 413


async def test_a_task_is_accepted_joined_and_shown(client: Client, shelf: Shelf, redis_client: redis.Redis) -> None:
    path = f"/images/generate/async/{shelf.description_ids[0]}"
    first = await client("POST", path, json={"style_prompt": "woodcut", "aspect_ratio": "1:1"})
    assert first.status == 202
    assert first.headers["retry-after"] == "3"
    assert (first.json["status"], first.json["stage"], first.json["retry_count"]) == ("pending", "queued", 0)
    assert (await client("POST", path)).json["task_id"] == first.json["task_id"]
    assert (await client("GET", first.headers["location"])).json == first.json
    assert redis_client.lrange("rq:queue:normal", 0, -1) == [first.json["task_id"]]
    assert (await client("GET", f"/images/file/{first.json['task_id']}")).status == 404
    assert (await client("GET", f"/images/description/{shelf.description_ids[0]}")).status == 404


async def test_twenty_passages_twice_at_once_are_twenty_rows_and_twenty_jobs(
    client: Client, database: Database, alice: Account, sql: Sql, redis_client: redis.Redis
) -> None:
    shelf = await make_shelf(database, alice[0], passages=20)
    paths = [f"/images/generate/async/{each}" for each in shelf.description_ids] * 2
    answers = await asyncio.gather(*(client("POST", path) for path in paths))
    assert {answer.status for answer in answers} == {202}
    assert len({answer.json["task_id"] for answer in answers}) == 20
    assert sql("SELECT count(*) AS n FROM generated_images") == [{"n": 20}]
    assert redis_client.llen("rq:queue:normal") == 20


async def test_a_chapters_best_passages_are_asked_for_first(client: Client, shelf: Shelf) -> None:
    path = f"/images/generate/chapter/{shelf.chapter_id}"
    best = (await client("POST", path, json={"max_images": 2})).json["items"]
    assert [task["description_id"] for task in best] == [str(each) for each in shelf.description_ids[:0:-1]]
    rest = (await client("POST", path)).json["items"]
    assert [task["description_id"] for task in rest] == [str(shelf.description_ids[0])]
    assert (await client("POST", path, json={"types": ["object"]})).json["items"] == []
    assert (await client("POST", path, json={"max_images": 21})).status == 422


async def test_a_payload_in_redis_is_json_and_names_ids_only(
    client: Client, shelf: Shelf, redis_client: redis.Redis
) -> None:
    task = (await client("POST", f"/images/generate/async/{shelf.description_ids[0]}")).json["task_id"]
    description, timeout, intervals = redis_client.hmget(f"rq:job:{task}", "description", "timeout", "retry_intervals")
    assert (description, timeout) == (f"image {task}", "180")
    assert len(json.loads(intervals or "")) == 5
    with closing(redis.Redis(**_as_bytes(redis_client))) as raw:
        payload = zlib.decompress(cast(bytes, raw.hget(f"rq:job:{task}", "data")))
    assert json.loads(payload) == ["jobs.tasks.images.generate_image", None, [task], {}]


def _as_bytes(client: redis.Redis) -> dict[str, Any]:
    given = client.connection_pool.connection_kwargs
    return {name: given[name] for name in ("host", "port", "password", "db")}


async def test_what_belongs_to_another_user_is_404_on_every_route(
    client: Client, bob: Account, alice: Account, shelf: Shelf
) -> None:
    task = (await client("POST", f"/images/generate/async/{shelf.description_ids[0]}")).json["task_id"]
    stranger = client.with_token(bob[1])
    for method, path in [
        ("GET", f"/books/{shelf.book_id}"),
        ("GET", f"/chapters/{shelf.chapter_id}"),
        ("POST", f"/images/generate/async/{shelf.description_ids[0]}"),
        ("POST", f"/images/generate/chapter/{shelf.chapter_id}"),
        ("GET", f"/images/task/{task}"),
        ("GET", f"/images/description/{shelf.description_ids[0]}"),
        ("GET", f"/images/file/{task}"),
        ("GET", f"/books/{uuid.uuid4()}"),
        ("GET", "/books/no-uuid"),
        ("GET", "/nothing/here"),
    ]:
        answer = await stranger(method, path)
        assert (answer.status, answer.json["code"]) == (404, "not_found"), path
    assert (await stranger("GET", "/books")).json == {"items": [], "next": None}


@pytest.mark.parametrize("query", ["limit=0", "limit=101", "limit=x", "limit=²", "after=x", "after=W10", DEEP])
async def test_a_page_that_is_not_allowed_is_422(client: Client, query: str) -> None:
    assert (await client("GET", f"/books?{query}")).status == 422


async def test_health_names_what_is_missing(client: Client, sql: Sql) -> None:
    assert (await client("GET", "/healthz")).json == {"status": "ok"}
    answer = await client("GET", "/readyz")
    assert answer.status == 503
    assert answer.json["checks"]["postgres"] == answer.json["checks"]["redis"] == "ok"
    assert "worker" in answer.json["checks"]["worker"]
    sql("DELETE FROM _yoyo_migration")
    assert "make migrate" in (await client("GET", "/readyz")).json["checks"]["schema"]


async def test_an_unexpected_error_answers_no_trace(client: Client, sql: Sql, shelf: Shelf) -> None:
    sql("ALTER TABLE generated_images RENAME COLUMN model TO modell")
    answer = await client("GET", f"/images/description/{shelf.description_ids[0]}")
    assert (answer.status, answer.json["code"]) == (500, "internal")
    assert b"modell" not in answer.body
    assert b"Traceback" not in answer.body


@pytest.mark.parametrize("style", ["a\u0000b", "", " ", "x" * 301])
async def test_a_style_that_is_not_allowed_is_422(client: Client, shelf: Shelf, style: str) -> None:
    path = f"/images/generate/async/{shelf.description_ids[0]}"
    assert (await client("POST", path, json={"style_prompt": style})).status == 422


async def test_white_space_of_a_text_stays_and_positions_count_it(client: Client) -> None:
    passages = [
        {"type": "object", "content": "Hello", "position": 2},
        {"type": "object", "content": " world", "position": 7},
    ]
    book = {"title": " T ", "chapters": [{"content": "  Hello world", "descriptions": passages}]}
    made = await client("POST", "/books", json=book)
    assert (made.status, made.json["title"]) == (201, "T")
    chapter = (await client("GET", f"/chapters/{made.json['chapters'][0]['id']}")).json
    assert [each["position"] for each in chapter["descriptions"]] == [2, 7]


async def test_a_repeated_sentence_is_found_where_it_comes_next(client: Client) -> None:
    passages = [{"type": "object", "content": "Снег."}, {"type": "object", "content": "Снег."}]
    book = {"title": "T", "chapters": [{"content": "Снег. Дом. Снег.", "descriptions": passages}]}
    made = await client("POST", "/books", json=book)
    chapter = (await client("GET", f"/chapters/{made.json['chapters'][0]['id']}")).json
    assert [each["position"] for each in chapter["descriptions"]] == [0, 11]


async def test_times_are_utc_whatever_the_database_says(client: Client, sql: Sql) -> None:
    sql("ALTER ROLE postgres SET timezone = 'Europe/Moscow'")
    try:
        assert (await client("POST", "/books", json=BOOK)).json["created_at"].endswith("+00:00")
    finally:
        sql("ALTER ROLE postgres RESET timezone")


async def test_a_restarted_postgres_costs_one_answer_at_most(client: Client, sql: Sql) -> None:
    await asyncio.gather(*(client("GET", "/books") for _ in range(30)))  # the pool is full
    sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'vignette'")
    statuses = [(await client("GET", "/books")).status for _ in range(12)]
    assert statuses.count(503) <= 1
    assert statuses[-1] == 200


async def test_readiness_on_a_database_without_migrations_is_503(client: Client, sql: Sql) -> None:
    sql("DROP TABLE _yoyo_migration")
    answer = await client("GET", "/readyz")
    assert (answer.status, answer.json["checks"]["postgres"]) == (503, "ok")
    assert "no migration" in answer.json["checks"]["schema"]
