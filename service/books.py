"""Books: add one as JSON, list them, read a book's contents and a chapter with its passages."""

import base64
import json
from collections.abc import Sequence
from datetime import datetime
from typing import Annotated, Any
from uuid import UUID

from pydantic import Field
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from jobs.core.books import (
    MAX_CHAPTERS,
    MAX_DESCRIPTIONS,
    Book,
    NewBook,
    NewChapter,
    NewDescription,
    add_book,
    find_book,
    find_chapter,
    list_books,
)
from jobs.core.errors import InvalidFields
from jobs.core.states import DescriptionType
from service.auth import require_user
from service.body import BOOK_BODY_BYTES, NO_NUL, Line, RequestModel, read_body
from service.state import State

_PAGE_SIZE = 50
_MAX_PAGE_SIZE = 100
_Text = Annotated[str, Field(min_length=1, pattern=NO_NUL)]


class DescriptionBody(RequestModel):
    """A passage; without a position it is looked up in the chapter's content."""

    type: DescriptionType
    content: Annotated[_Text, Field(max_length=10_000)]
    priority_score: Annotated[float, Field(ge=0, le=1)] = 0.5
    position: Annotated[int | None, Field(ge=0)] = None


class ChapterBody(RequestModel):
    """A chapter with its passages."""

    title: Line | None = None
    content: _Text
    descriptions: Annotated[Sequence[DescriptionBody], Field(max_length=MAX_DESCRIPTIONS)] = ()


class BookBody(RequestModel):
    """The body of `POST /books`."""

    title: Line
    author: Line | None = None
    language: Annotated[str | None, Field(pattern=r"^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$")] = None
    genre: Line | None = None
    chapters: Annotated[list[ChapterBody], Field(min_length=1, max_length=MAX_CHAPTERS)]

    def to_new_book(self) -> NewBook:
        """The book that the core takes."""
        chapters = [
            NewChapter(each.content, each.title, [NewDescription(**dict(passage)) for passage in each.descriptions])
            for each in self.chapters
        ]
        return NewBook(self.title, self.author, self.language, self.genre, chapters)


def show_book(book: Book) -> dict[str, Any]:
    """A book as JSON shows it, without its contents."""
    return {
        "id": str(book.id),
        "title": book.title,
        "author": book.author,
        "language": book.language,
        "genre": book.genre,
        "created_at": book.created_at.isoformat(),
    }


def _show_book_with_contents(book: Book) -> dict[str, Any]:
    chapters = [{"id": str(each["id"]), "number": each["number"], "title": each["title"]} for each in book.chapters]
    return show_book(book) | {"chapters": chapters}


async def create_book(request: Request[State]) -> Response:
    """`POST /books`: 201 with the book."""
    user = await require_user(request)
    body = await read_body(request, BookBody, limit_bytes=BOOK_BODY_BYTES)
    book = await add_book(request.state["database"], user.id, body.to_new_book())
    return JSONResponse(_show_book_with_contents(book), status_code=201, headers={"Location": f"/books/{book.id}"})


async def list_user_books(request: Request[State]) -> Response:
    """`GET /books?limit=&after=`: a page, newest first; `next` is the next page's path, or null."""
    user = await require_user(request)
    limit = _read_limit(request.query_params.get("limit"))
    before = _read_cursor(request.query_params.get("after"))
    books = await list_books(request.state["database"], user.id, before=before, limit=limit + 1)
    page = books[:limit]
    following = f"/books?limit={limit}&after={_make_cursor(page[-1])}" if len(books) > limit else None
    return JSONResponse({"items": [show_book(book) for book in page], "next": following})


async def show_user_book(request: Request[State]) -> Response:
    """`GET /books/{book_id}`: the book with its table of contents."""
    user = await require_user(request)
    book = await find_book(request.state["database"], user.id, request.path_params["book_id"])
    return JSONResponse(_show_book_with_contents(book))


async def show_chapter(request: Request[State]) -> Response:
    """`GET /chapters/{chapter_id}`: the text, its passages in order, and each one's picture."""
    user = await require_user(request)
    chapter = await find_chapter(request.state["database"], user.id, request.path_params["chapter_id"])
    return JSONResponse(
        {
            "id": str(chapter.id),
            "book_id": str(chapter.book_id),
            "number": chapter.number,
            "title": chapter.title,
            "content": chapter.content,
            "descriptions": [_show_description(each) for each in chapter.descriptions],
        }
    )


def _show_description(description: dict[str, Any]) -> dict[str, Any]:
    image = description["image"]
    return {
        "id": str(description["id"]),
        "type": description["type"],
        "content": description["content"],
        "position": description["position"],
        "priority_score": round(description["priority_score"], 4),
        "image": image and image | {"image_url": f"/images/file/{image['id']}"},
    }


def _read_limit(value: str | None) -> int:
    limit = int(value) if value is not None and value.isascii() and value.isdigit() else _PAGE_SIZE
    if value is not None and (str(limit) != value or not 1 <= limit <= _MAX_PAGE_SIZE):
        raise InvalidFields([{"field": "limit", "reason": f"a whole number from 1 to {_MAX_PAGE_SIZE} is allowed"}])
    return limit


def _make_cursor(book: Book) -> str:
    position = json.dumps([book.created_at.isoformat(), str(book.id)])
    return base64.urlsafe_b64encode(position.encode()).decode().rstrip("=")


def _read_cursor(value: str | None) -> tuple[datetime, UUID] | None:
    if value is None:
        return None
    try:
        created_at, book_id = json.loads(base64.urlsafe_b64decode(value + "=" * (-len(value) % 4)))
        instant = datetime.fromisoformat(created_at)
        if instant.tzinfo is None:
            raise ValueError(value)
        return instant, UUID(book_id)
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise InvalidFields([{"field": "after", "reason": "take it from `next` of the page before"}]) from None
