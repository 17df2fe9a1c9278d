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


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture's bytes, exactly as they came, and what the provider says of them."""

    data: bytes
    model_version: str | None = None
    input_tokens: int | None = None
    output_tokens: int | None = None


class Provider(Protocol):
    """Draws one picture per call, and never calls its server twice for it: the queue alone retries.

    `name` and `model` are kept with every picture; `reads_prompt` says whether the prompt is read at all, and so
    whether a translation is worth its price.
    """

    name: str
    model: str
    reads_prompt: bool

    async def draw_picture(self, request: PictureRequest) -> Picture:
        """Draw.

        Raises:
            ProviderError: There is no picture; the class says whether trying again can help.
        """
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
