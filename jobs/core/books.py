"""The books: a book with its chapters and passages goes in whole; lists and chapters come out."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from jobs.core.database import Database, Executor
from jobs.core.errors import InvalidFields, NotFound
from jobs.core.states import DescriptionType

MAX_CHAPTERS = 2000
MAX_DESCRIPTIONS = 5000
"""The most passages of one chapter, and the LIMIT where they are read."""


@dataclass(frozen=True, slots=True)
class NewDescription:
    """A passage to add; without a position it is looked up in the chapter's text."""

    type: DescriptionType
    content: str
    priority_score: float = 0.5
    position: int | None = None


@dataclass(frozen=True, slots=True)
class NewChapter:
    """A chapter to add."""

    content: str
    title: str | None = None
    descriptions: Sequence[NewDescription] = ()


@dataclass(frozen=True, slots=True)
class NewBook:
    """A book to add."""

    title: str
    author: str | None = None
    language: str | None = None
    genre: str | None = None
    chapters: Sequence[NewChapter] = ()


@dataclass(frozen=True, slots=True)
class Book:
    """A book's row; `chapters` is its table of contents, where it was asked for."""

    id: UUID
    title: str
    author: str | None
    language: str | None
    genre: str | None
    created_at: datetime
    chapters: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Chapter:
    """A chapter's text with its passages in the order of the text; a passage's `image` is None without a picture."""

    id: UUID
    book_id: UUID
    number: int
    title: str | None
    content: str
    descriptions: list[dict[str, Any]] = field(default_factory=list)


async def add_book(database: Database, user_id: UUID, book: NewBook) -> Book:
    """Add a book with all it holds, or nothing of it: 3 statements in 1 transaction, however long it is.

    Raises:
        InvalidFields: A passage does not stand in its chapter.
    """
    positions = await asyncio.to_thread(_locate_descriptions, book)
    async with database.transaction() as transaction:
        row = await transaction.fetch_one(
            "insert_book",
            user_id=user_id,
            title=book.title,
            author=book.author,
            language=book.language,
            genre=book.genre,
        )
        assert row is not None  # noqa: S101 (INSERT … RETURNING answers its row)
        chapters = await transaction.fetch_all(
            "insert_chapters",
            book_id=row["id"],
            numbers=list(range(1, len(book.chapters) + 1)),
            titles=[chapter.title for chapter in book.chapters],
            contents=[chapter.content for chapter in book.chapters],
        )
        ids = {chapter["number"]: chapter["id"] for chapter in chapters}
        descriptions = [
            (ids[number], each) for number, chapter in enumerate(book.chapters, 1) for each in chapter.descriptions
        ]
        if descriptions:
            await transaction.execute(
                "insert_descriptions",
                chapter_ids=[chapter_id for chapter_id, _ in descriptions],
                types=[each.type for _, each in descriptions],
                contents=[each.content for _, each in descriptions],
                positions=positions,
                priority_scores=[each.priority_score for _, each in descriptions],
            )
    return Book(**row, chapters=sorted(chapters, key=lambda chapter: int(chapter["number"])))


def _locate_descriptions(book: NewBook) -> list[int]:
    positions, complaints = [], []
    for number, chapter in enumerate(book.chapters):
        end = 0
        for index, each in enumerate(chapter.descriptions):
            if each.position is not None:
                start = each.position
            else:  # passages mostly come in the order of the text: look on from the one before
                found = chapter.content.find(each.content, end)
                start = found if found >= 0 else chapter.content.find(each.content)
            end = start + len(each.content)
            if start < 0 or chapter.content[start : start + len(each.content)] != each.content:
                name = f"chapters.{number}.descriptions.{index}." + ("content" if each.position is None else "position")
                complaints.append(
                    {"field": name, "reason": "the passage does not stand there in the chapter's content"}
                )
            positions.append(start)
    if complaints:
        raise InvalidFields(complaints)
    return positions


async def list_books(
    database: Executor, user_id: UUID, *, before: tuple[datetime, UUID] | None, limit: int
) -> list[Book]:
    """A page of a user's books, newest first, after the one with this `created_at` and id."""
    before_created_at, before_id = before or (None, None)
    rows = await database.fetch_all(
        "list_books", user_id=user_id, before_created_at=before_created_at, before_id=before_id, limit=limit
    )
    return [Book(**row) for row in rows]


async def find_book(database: Executor, user_id: UUID, book_id: UUID) -> Book:
    """A book with its table of contents: 2 statements.

    Raises:
        NotFound: The user has no such book.
    """
    row = await database.fetch_one("find_book", user_id=user_id, book_id=book_id)
    if row is None:
        raise NotFound("There is no such book.")
    return Book(**row, chapters=await database.fetch_all("list_chapters", book_id=book_id, limit=MAX_CHAPTERS))


async def find_chapter(database: Executor, user_id: UUID, chapter_id: UUID) -> Chapter:
    """A chapter with its passages and their pictures: 2 statements.

    Raises:
        NotFound: The user has no such chapter.
    """
    row = await database.fetch_one("find_chapter", user_id=user_id, chapter_id=chapter_id)
    if row is None:
        raise NotFound("There is no such chapter.")
    descriptions = await database.fetch_all("list_descriptions", chapter_id=chapter_id, limit=MAX_DESCRIPTIONS)
    return Chapter(**row, descriptions=descriptions)


async def list_promising_descriptions(
    database: Executor, chapter_id: UUID, *, types: Sequence[DescriptionType], limit: int
) -> list[UUID]:
    """A chapter's best passages of these types that have neither a picture nor one in flight."""
    rows = await database.fetch_all(
        "list_promising_descriptions", chapter_id=chapter_id, types=list(types), limit=limit
    )
    return [row["id"] for row in rows]


async def find_book_by_title(database: Executor, user_id: UUID, title: str) -> Book | None:
    """A user's book of that title, without its table of contents."""
    row = await database.fetch_one("find_book_by_title", user_id=user_id, title=title)
    return Book(**row) if row else None


async def find_chapter_id(database: Executor, user_id: UUID, chapter_id: UUID) -> UUID:
    """The same id, if the chapter is this user's; without its text.

    Raises:
        NotFound: The user has no such chapter.
    """
    row = await database.fetch_one("find_chapter_id", user_id=user_id, chapter_id=chapter_id)
    if row is None:
        raise NotFound("There is no such chapter.")
    found: UUID = row["id"]
    return found
