"""The offline sketch: a landscape drawn from words of the passage, without a key and without a network."""

import asyncio

from jobs.core.states import AspectRatio
from jobs.illustration.provider import Picture, PictureRequest
from jobs.illustration.sketch.drawing import draw_scene
from jobs.illustration.sketch.scene import read_scene

_LONG_SIDE_PX = 1024


class SketchProvider:
    """Draws on this machine, in a thread, in well under a second; the same passage gives the same picture."""

    name = "sketch"
    model = "landscape-1"
    reads_prompt = False

    async def draw_picture(self, request: PictureRequest) -> Picture:
        """A PNG whose long side has 1024 pixels (4:3: 1024 × 768)."""
        return Picture(await asyncio.to_thread(_draw_picture, request.passage, request.aspect_ratio))

    async def close(self) -> None:
        """There is nothing to close."""


def _draw_picture(passage: str, aspect_ratio: AspectRatio) -> bytes:
    width, height = aspect_ratio.sides
    scale = _LONG_SIDE_PX / max(width, height)
    return draw_scene(read_scene(passage), width_px=round(width * scale), height_px=round(height * scale))
