"""The HTTP side: every route, the lifespan that opens what they share, and the table of errors.

uvicorn service.app:app
"""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, closing
from pathlib import Path

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from jobs.core import errors
from jobs.core.database import Database
from jobs.core.logs import configure_logging
from jobs.core.queue_client import Queues
from jobs.core.settings import Settings
from jobs.core.storage import ImageStore
from service import auth, books, health, images, problems
from service.state import State

_WEB = Path(__file__).with_name("web")

ERROR_STATUSES: Mapping[type[errors.VignetteError], int] = {
    errors.VignetteError: 500,
    errors.MalformedRequest: 400,
    errors.NotSignedIn: 401,
    errors.NotFound: 404,
    errors.AlreadyIllustrated: 409,
    errors.TaskOver: 409,
    errors.Conflict: 409,
    errors.BodyTooLarge: 413,
    errors.InvalidFields: 422,
    errors.Unavailable: 503,
    errors.ProviderError: 502,
}
"""The HTTP status of each class of error; a class that is not here has that of its nearest parent."""

ROUTES = [
    Route("/healthz", health.show_health),
    Route("/readyz", health.show_readiness),
    Route("/session", auth.create_session, methods=["POST"]),
    Route("/session", auth.delete_session, methods=["DELETE"]),
    Route("/books", books.create_book, methods=["POST"]),
    Route("/books", books.list_user_books),
    Route("/books/{book_id:uuid}", books.show_user_book),
    Route("/chapters/{chapter_id:uuid}", books.show_chapter),
    Route("/images/generate/async/{description_id:uuid}", images.generate_image_async, methods=["POST"]),
    Route("/images/generate/chapter/{chapter_id:uuid}", images.generate_chapter, methods=["POST"]),
    Route("/images/task/{task_id:uuid}", images.show_image_task),
    Route("/images/task/{task_id:uuid}", images.cancel_image_task, methods=["DELETE"]),
    Route("/images/description/{description_id:uuid}", images.show_description_image),
    Route("/images/file/{image_id:uuid}", images.send_image_file),
]


def create_app(settings: Settings | None = None) -> Starlette:
    """The application; its settings are by default read from the environment when it starts."""

    @asynccontextmanager
    async def open_state(_app: Starlette) -> AsyncIterator[State]:
        now = settings or Settings.load()
        configure_logging(now.log_level)
        store = ImageStore(now.resolved_image_store_url)
        async with Database(now.required_database_url) as database:
            with closing(Queues(now.required_redis_url)) as queues:
                yield {"database": database, "queues": queues, "store": store}

    async def answer_error(_request: Request, error: Exception) -> Response:
        assert isinstance(error, errors.VignetteError)  # noqa: S101 (registered for this class)
        return problems.answer_error(ERROR_STATUSES, error)

    async def show_page(_request: Request) -> Response:
        return FileResponse(_WEB / "index.html", headers={"Cache-Control": "no-cache"})

    return Starlette(
        routes=[*ROUTES, Route("/", show_page), Mount("/web", StaticFiles(directory=_WEB))],
        lifespan=open_state,
        exception_handlers={
            errors.VignetteError: answer_error,
            HTTPException: problems.answer_http_exception,
            Exception: problems.answer_unexpected,
        },
    )


app = create_app()
