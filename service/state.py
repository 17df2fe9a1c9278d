"""What the lifespan opens and every request finds in `request.state`."""

from typing import TypedDict

from jobs.core.database import Database
from jobs.core.queue_client import Queues
from jobs.core.storage import ImageStore


class State(TypedDict):
    """One web process's connections."""

    database: Database
    queues: Queues
    store: ImageStore
