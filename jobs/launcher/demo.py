"""The reader `demo`, who has a token in VAR and a short Russian tale to illustrate."""

import json
import secrets
from pathlib import Path

from jobs.core.books import NewBook, NewChapter, NewDescription, add_book, find_book_by_title
from jobs.core.database import Database
from jobs.core.errors import InvalidFields, NotSignedIn
from jobs.core.states import DescriptionType
from jobs.core.users import create_user, find_user, replace_token
from jobs.launcher.servers import write_private_file

_NAME = "demo"
_BOOK = Path(__file__).with_name("demo_book.json")


async def ensure_demo_reader(database_url: str, var: Path) -> str:
    """The demo reader's token, made once and kept in VAR/token (mode 0600); the book is added where it is missing."""
    token = read_or_make_secret(var / "token")
    async with Database(database_url, max_connections=1) as database:
        try:
            user = await find_user(database, token)
        except NotSignedIn:
            try:
                user, _ = await create_user(database, _NAME, is_admin=True, token=token)
            except InvalidFields:  # the database is older than this VAR
                replaced = await replace_token(database, _NAME, token=token)
                assert replaced is not None  # noqa: S101 (the name is taken, so there is such a user)
                user, _ = replaced
        book = read_demo_book()
        if await find_book_by_title(database, user.id, book.title) is None:
            await add_book(database, user.id, book)
    return token


def read_demo_book() -> NewBook:
    """The tale, in the form in which `POST /books` takes a book."""
    data = json.loads(_BOOK.read_text())
    chapters = [
        NewChapter(
            title=chapter["title"],
            content=chapter["content"],
            descriptions=[
                NewDescription(DescriptionType(each["type"]), each["content"], each["priority_score"])
                for each in chapter["descriptions"]
            ],
        )
        for chapter in data["chapters"]
    ]
    return NewBook(data["title"], data["author"], data["language"], data["genre"], chapters)


def read_or_make_secret(path: Path) -> str:
    """The secret in a file that only we can read, made on the first call."""
    try:
        return path.read_text().strip()
    except FileNotFoundError:
        secret = secrets.token_urlsafe(32)
        write_private_file(path, secret + "\n")
        return secret
