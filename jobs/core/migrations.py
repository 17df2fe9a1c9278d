"""The schema's migrations: applies and rolls back the files of sql/migrations, one process at a time.

python -m jobs.core.migrations              apply what is missing
python -m jobs.core.migrations --down 2     roll the last two back
"""

import argparse
from urllib.parse import urlsplit, urlunsplit

import yoyo

from jobs.core.database import SQL, hold_advisory_lock
from jobs.core.errors import VignetteError
from jobs.core.logs import configure_logging, get_logger
from jobs.core.settings import Settings

_ADVISORY_LOCK = 0x76696E6574746531  # "vignette1" without its g, as a signed 64-bit number; only its constancy matters
_WAIT_FOR_LOCK_S = 60
_LOCK_TIMEOUT_MS = 10_000  # a migration that waits longer for a table gives way to the code that is serving

log = get_logger(__name__)


def newest_migration() -> str:
    """The id of the last migration in sql/migrations; a database that has applied it suits this code."""
    return max(path.stem for path in (SQL / "migrations").glob("*.sql") if not path.stem.endswith(".rollback"))


def apply_migrations(url: str) -> list[str]:
    """Apply what is missing, in order; the ids applied. Another process that does the same is waited for.

    Raises:
        DatabaseUnavailable: Postgres does not answer, or is locked for longer than a minute.
    """
    return _migrate(url, down=0)


def rollback_migrations(url: str, count: int) -> list[str]:
    """Roll the last `count` applied migrations back, newest first; the ids rolled back.

    Raises:
        DatabaseUnavailable: Postgres does not answer, or is locked for longer than a minute.
    """
    return _migrate(url, down=count)


def _migrate(url: str, *, down: int) -> list[str]:
    with hold_advisory_lock(url, _ADVISORY_LOCK, wait_s=_WAIT_FOR_LOCK_S):
        backend = yoyo.get_backend(_as_yoyo_url(url))
        try:
            backend.break_lock()  # yoyo's own lock is a row that outlives a killed holder; ours is held here
            with backend.lock():
                known = yoyo.read_migrations(str(SQL / "migrations"))
                if down:
                    chosen = backend.to_rollback(known)[:down]
                    backend.rollback_migrations(chosen)
                else:
                    chosen = backend.to_apply(known)
                    backend.apply_migrations(chosen)
        finally:
            backend.connection.close()
    return [migration.id for migration in chosen]


def _as_yoyo_url(url: str) -> str:
    parts = urlsplit(url)
    query = "&".join(filter(None, [parts.query, f"options=-c%20lock_timeout%3D{_LOCK_TIMEOUT_MS}"]))
    # urlunsplit drops the empty authority of a socket URL (postgresql:///name?host=/dir), which yoyo needs.
    rest = urlunsplit(("", "", parts.path, query, ""))
    return f"postgresql+psycopg://{parts.netloc}{rest}"


def main() -> None:
    """The command line; ids are logged, and errors end it with a sentence."""
    parser = argparse.ArgumentParser(prog="python -m jobs.core.migrations", description="Bring the schema up to date.")
    parser.add_argument("--down", type=int, default=0, metavar="N", help="roll the last N migrations back instead")
    down = parser.parse_args().down
    if down < 0:
        parser.error("--down takes a whole number from 0 on")
    try:
        settings = Settings.load()
        configure_logging(settings.log_level)
        url = settings.required_database_url
        if down:
            log.info("rollback_migrations", migrations=rollback_migrations(url, down))
        else:
            log.info("apply_migrations", migrations=apply_migrations(url))
    except VignetteError as error:
        raise SystemExit(str(error)) from None


if __name__ == "__main__":
    main()
