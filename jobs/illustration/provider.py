"""The contract between the queue and whatever draws pictures."""

from dataclasses import dataclass
from typing import Protocol

from jobs.core.states import AspectRatio


@dataclass(frozen=True, slots=True)
class PictureRequest:
    """What to draw: the passage in its own words, and the English prompt made of it."""

    passage: str
    prompt: str
    aspect_ratio: AspectRatio


class Provider(Protocol):
    """Draws one picture per call, and never calls its server twice for it: the queue alone retries.

    `name` and `model` are kept with every picture.
    """

    name: str
    model: str

    async def draw_picture(self, request: PictureRequest) -> bytes:
        """The picture's bytes, exactly as they came.

        Raises:
            ProviderError: There is no picture; the class says whether trying again can help.
        """
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
