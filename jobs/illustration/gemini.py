"""Pictures from Google's image models."""

from jobs.google import GoogleClient
from jobs.illustration.provider import Picture, PictureRequest

DEFAULT_MODEL = "gemini-3.1-flash-image"
"""Google's stable image model of November 2026; the Imagen models were shut down on 17 August 2026."""


class GeminiProvider:
    """Draws through `generate_content`, one request a picture."""

    name = "gemini"
    reads_prompt = True

    def __init__(self, google: GoogleClient, *, model: str | None, image_size: str | None, timeout_s: float) -> None:
        self.model = model or DEFAULT_MODEL
        self._google, self._image_size, self._timeout_s = google, image_size, timeout_s

    async def draw_picture(self, request: PictureRequest) -> Picture:
        """A picture with SynthID, and maybe C2PA, marks: its bytes must stay as they are."""
        drawn = await self._google.draw_picture(
            request.prompt,
            model=self.model,
            aspect_ratio=request.aspect_ratio,
            image_size=self._image_size,
            timeout_s=self._timeout_s,
        )
        return Picture(drawn.data, drawn.model_version, drawn.input_tokens, drawn.output_tokens)

    async def close(self) -> None:
        """The client belongs to whoever made it."""
