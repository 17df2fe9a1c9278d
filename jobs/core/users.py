"""The users and their tokens.

    python -m jobs.core.users alice [--admin] [--new-token]     create a user; the token is printed once

A token is 32 random bytes; the database holds its SHA-256 only, which suffices for a secret that nobody can guess.
"""

import argparse
import asyncio
import hashlib
import re
import secrets
import sys
from dataclasses import dataclass
from uuid import UUID

from jobs.core.database import Database, Executor
from jobs.core.errors import InvalidFields, NotSignedIn, VignetteError
from jobs.core.settings import Settings

_NAME = re.compile(r"[\w.@+-]{1,64}")


@dataclass(frozen=True, slots=True)
class User:
    """Who is asking."""

    id: UUID
    name: str
    is_admin: bool


def _hash_token(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


async def create_user(
    database: Executor, name: str, *, is_admin: bool = False, token: str | None = None
) -> tuple[User, str]:
    """Create a user; the user and the token, which nobody can read again later.

    Args:
        database: Where to.
        name: 1 to 64 letters, digits or . _ @ + -
        is_admin: May see everybody's statistics.
        token: The token to give; by default a new random one.

    Raises:
        InvalidFields: The name is taken or not allowed.
    """
    if not _NAME.fullmatch(name):
        raise InvalidFields([{"field": "name", "reason": "1 to 64 letters, digits or . _ @ + - are allowed"}])
    token = token or secrets.token_urlsafe(32)
    row = await database.fetch_one("insert_user", name=name, token_hash=_hash_token(token), is_admin=is_admin)
    if row is None:
        raise InvalidFields([{"field": "name", "reason": f"there is a user {name} already"}])
    return User(**row), token


async def replace_token(database: Executor, name: str, *, token: str | None = None) -> tuple[User, str] | None:
    """Give a user another token and end the old one; None where there is no such user."""
    token = token or secrets.token_urlsafe(32)
    row = await database.fetch_one("replace_token", name=name, token_hash=_hash_token(token))
    return (User(**row), token) if row else None


async def find_user(database: Executor, token: str) -> User:
    """The user whom a token belongs to: 1 statement.

    Raises:
        NotSignedIn: Nobody has this token.
    """
    row = await database.fetch_one("find_user", token_hash=_hash_token(token))
    if row is None:
        raise NotSignedIn("This token is not valid.")
    return User(**row)


async def _create_from_command_line(arguments: argparse.Namespace) -> str:
    async with Database(Settings.load().required_database_url, max_connections=1) as database:
        if arguments.new_token:
            replaced = await replace_token(database, arguments.name)
            if replaced is None:
                raise InvalidFields([{"field": "name", "reason": f"there is no user {arguments.name}"}])
            return replaced[1]
        return (await create_user(database, arguments.name, is_admin=arguments.admin))[1]


def main() -> None:
    """The command line: the token is the last line printed."""
    parser = argparse.ArgumentParser(prog="python -m jobs.core.users", description="Create a user and print the token.")
    parser.add_argument("name")
    parser.add_argument("--admin", action="store_true", help="may see everybody's statistics")
    parser.add_argument("--new-token", action="store_true", help="give an existing user another token instead")
    try:
        token = asyncio.run(_create_from_command_line(parser.parse_args()))
    except VignetteError as error:
        raise SystemExit(str(error)) from None
    sys.stdout.write(f"{token}\n")


if __name__ == "__main__":
    main()
