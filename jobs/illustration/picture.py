"""What a picture's bytes are: checked with Pillow before they are kept."""

import io
import warnings
from dataclasses import dataclass

from PIL import Image

from jobs.core.errors import BadPicture

MAX_BYTES = 32 * 1024 * 1024
MAX_PIXELS = 64_000_000  # 8000 × 8000; a 4096 × 4096 picture, the largest that Gemini draws, has a quarter of it
_CONTENT_TYPES = {"PNG": "image/png", "JPEG": "image/jpeg", "WEBP": "image/webp"}


@dataclass(frozen=True, slots=True)
class PictureFacts:
    """What a picture says of itself."""

    content_type: str
    width_px: int
    height_px: int
    size_bytes: int


def inspect_picture(data: bytes) -> PictureFacts:
    """Decode a picture in full and tell its facts; takes about 20 ms of CPU a megapixel-heavy picture, so run it in a
    thread.

    Raises:
        BadPicture: The bytes are no PNG, JPEG or WebP, are cut short, or are out of bounds.
    """
    if len(data) > MAX_BYTES:
        raise BadPicture(f"The picture has {len(data)} bytes; at most {MAX_BYTES} are allowed.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(io.BytesIO(data), formats=list(_CONTENT_TYPES)) as image:
                content_type, (width_px, height_px) = _CONTENT_TYPES[image.format or ""], image.size
                if width_px * height_px > MAX_PIXELS:
                    raise BadPicture(f"The picture has {width_px} x {height_px} pixels; that is too many.")
                image.load()
    except (
        OSError,
        SyntaxError,
        ValueError,
        Image.DecompressionBombWarning,
        Image.DecompressionBombError,
    ) as error:
        raise BadPicture("The bytes that came are no complete PNG, JPEG or WebP picture.") from error
    return PictureFacts(content_type, width_px, height_px, len(data))
