"""Health: `/healthz` says that this process serves, `/readyz` whether what it stands on is there."""

import asyncio

from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from jobs.core.errors import DatabaseUnavailable, QueueUnavailable
from jobs.core.migrations import newest_migration
from service.state import State


async def show_health(_request: Request[State]) -> Response:
    """`GET /healthz`: 200 while the process serves."""
    return JSONResponse({"status": "ok"})


async def show_readiness(request: Request[State]) -> Response:
    """`GET /readyz`: 200 when Postgres, its schema, Redis and a worker are there, else 503; each is named."""
    (postgres, schema), (redis, worker) = await asyncio.gather(_check_database(request), _check_queues(request))
    checks = {"postgres": postgres, "schema": schema, "redis": redis, "worker": worker}
    ready = all(answer == "ok" for answer in checks.values())
    headers = {} if ready else {"Retry-After": "10"}
    body = {"status": "ok" if ready else "unavailable", "checks": checks}
    return JSONResponse(body, status_code=200 if ready else 503, headers=headers)


async def _check_database(request: Request[State]) -> tuple[str, str]:
    try:
        database = request.state["database"]
        migrated = await database.fetch_one("is_migrated")
        row = await database.fetch_one("find_newest_migration") if migrated and migrated["yes"] else None
    except DatabaseUnavailable:
        return "does not answer", "unknown"
    needed = newest_migration()
    if row is not None and row["migration_id"] >= needed:
        return "ok", "ok"
    applied = row["migration_id"] if row else "no migration"
    return "ok", f"{applied} is applied, {needed} is needed: run `make migrate`"


async def _check_queues(request: Request[State]) -> tuple[str, str]:
    try:
        workers = await asyncio.to_thread(request.state["queues"].count_workers)
    except QueueUnavailable:
        return "does not answer", "unknown"
    return "ok", "ok" if workers else "no live worker listens on the queue normal"
