"""The image store: a picture's bytes under the image's id, in a folder or an S3 bucket; the one place with obstore."""

from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import unquote, urlsplit

import obstore
from obstore.exceptions import AlreadyExistsError, BaseError
from obstore.store import LocalStore, ObjectStore, from_url

from jobs.core.errors import StoreUnavailable


class ImageStore:
    """Whole pictures by id. A put is atomic: a reader sees all of the bytes, or none.

    Args:
        url: `file:///folder`, made where missing, or `s3://bucket/prefix` with the usual AWS_* variables.
    """

    def __init__(self, url: str) -> None:
        self._store: ObjectStore
        parts = urlsplit(url)
        with _store_errors_translated():
            if parts.scheme == "file":
                self._store = LocalStore(prefix=unquote(parts.path), mkdir=True)
            else:
                self._store = from_url(url)

    async def put_image(self, image_id: str, data: bytes) -> bool:
        """Keep the bytes exactly as they came; False, and nothing done, where there are others under this id.

        Raises:
            StoreUnavailable: The store cannot be written, or is full.
        """
        with _store_errors_translated():
            try:
                await obstore.put_async(self._store, image_id, data, mode="create", use_multipart=False)
            except AlreadyExistsError:
                return False
            return True

    async def get_image(self, image_id: str) -> bytes | None:
        """The bytes, or None where there are none.

        Raises:
            StoreUnavailable: The store cannot be read.
        """
        with _store_errors_translated():
            try:
                answer = await obstore.get_async(self._store, image_id)
                return bytes(await answer.bytes_async())
            except FileNotFoundError:
                return None

    async def delete_image(self, image_id: str) -> None:
        """Remove the bytes, if they are there.

        Raises:
            StoreUnavailable: The store cannot be written.
        """
        with _store_errors_translated():
            try:
                await obstore.delete_async(self._store, image_id)
            except FileNotFoundError:
                return


@contextmanager
def _store_errors_translated() -> Iterator[None]:
    try:
        yield
    except (BaseError, OSError) as error:
        raise StoreUnavailable("The image store cannot be reached, or is full.") from error
