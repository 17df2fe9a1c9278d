"""The one edge to google-genai: a picture, a text; its errors become ours here.

One call of ours is one HTTP request: the SDK's retries are off in both of its layers. `HttpRetryOptions(attempts=1)` on
the client switches off the second try that the SDK otherwise makes by itself, 1 to 10 s after a lost connection.
"""

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import aiohttp
from google import genai
from google.genai import errors, types

from jobs.core.errors import BadPicture, PassageBlocked, ProviderError, ProviderRejected
from jobs.core.provider_errors import error_of_status, no_answer, read_retry_after, read_retry_info

TEXT_TIMEOUT_S = 20.0
_CONNECT_S = 10.0

_BLOCKED_BECAUSE: Mapping[types.FinishReason, str] = {
    types.FinishReason.SAFETY: "it may be unsafe",
    types.FinishReason.RECITATION: "it repeats a protected text",
    types.FinishReason.BLOCKLIST: "it holds a forbidden word",
    types.FinishReason.PROHIBITED_CONTENT: "it shows what may not be shown",
    types.FinishReason.SPII: "it holds personal data",
    types.FinishReason.IMAGE_SAFETY: "the picture would be unsafe",
    types.FinishReason.IMAGE_PROHIBITED_CONTENT: "the picture would show what may not be shown",
    types.FinishReason.IMAGE_RECITATION: "the picture would repeat a protected one",
    types.FinishReason.LANGUAGE: "it is in a language that the service does not read",
    types.FinishReason.MODEL_ARMOR: "a filter of the service holds it back",
    types.FinishReason.ESCALATION: "a filter of the service holds it back",
}
"""Finish reasons that another attempt would meet again, in plain words."""

_ACCOUNT_REFUSED = frozenset({types.FinishReason.PUP_LIMITED_DISABLED})
"""Finish reasons that are about our account and no passage."""

_TRY_AGAIN = frozenset(
    {
        types.FinishReason.FINISH_REASON_UNSPECIFIED,
        types.FinishReason.STOP,
        types.FinishReason.MAX_TOKENS,
        types.FinishReason.OTHER,
        types.FinishReason.IMAGE_OTHER,
        types.FinishReason.NO_IMAGE,
        types.FinishReason.MALFORMED_FUNCTION_CALL,
        types.FinishReason.MALFORMED_RESPONSE,
        types.FinishReason.UNEXPECTED_TOOL_CALL,
        types.FinishReason.TOO_MANY_TOOL_CALLS,
        types.FinishReason.MISSING_THOUGHT_SIGNATURE,
        types.FinishReason.CONTINUATION,
    }
)
"""Finish reasons that, without a picture, may come out otherwise the next time."""


@dataclass(frozen=True, slots=True)
class GooglePicture:
    """A picture as it came, with what was billed."""

    data: bytes
    model_version: str | None
    input_tokens: int | None
    output_tokens: int | None


class GoogleClient:
    """A client of the Gemini API for one event loop.

    Args:
        api_key: Travels in a header, never in an address.
        base_url: Another address of the API; by default Google's.
    """

    def __init__(self, api_key: str, *, base_url: str | None = None) -> None:
        self._api_key, self._base_url = api_key, base_url
        self._session: aiohttp.ClientSession | None = None
        self._client: genai.Client | None = None

    async def draw_picture(
        self, prompt: str, *, model: str, aspect_ratio: str, image_size: str | None, timeout_s: float
    ) -> GooglePicture:
        """Ask an image model for one picture, for so many seconds: 1 request.

        Raises:
            PassageBlocked: The service refuses the prompt, or its own picture.
            BadPicture: The answer holds no picture.
            ProviderError: The request failed.
        """
        config = types.GenerateContentConfig(
            response_modalities=["IMAGE"],
            image_config=types.ImageConfig(aspect_ratio=aspect_ratio, image_size=image_size),
            candidate_count=1,
        )
        answer = await self._generate(model, prompt, config, timeout_s=timeout_s)
        usage = answer.usage_metadata
        return GooglePicture(
            data=_take_picture(answer),
            model_version=answer.model_version,
            input_tokens=usage.prompt_token_count if usage else None,
            output_tokens=usage.candidates_token_count if usage else None,
        )

    async def write_text(self, prompt: str, *, model: str, instruction: str, temperature: float) -> str:
        """Ask a text model: 1 request; the answer's text, which is never empty.

        Raises:
            ProviderError: There is no answer, or an empty one.
        """
        config = types.GenerateContentConfig(
            system_instruction=instruction, temperature=temperature, candidate_count=1, response_mime_type="text/plain"
        )
        answer = await self._generate(model, prompt, config, timeout_s=TEXT_TIMEOUT_S)
        parts = (part for part in _parts_of(answer) if part.text and not part.thought)
        text = "".join(part.text or "" for part in parts).strip()
        if not text:
            raise _error_without_result(answer, "The text service sent no text.")
        return text

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def _generate(
        self, model: str, prompt: str, config: types.GenerateContentConfig, *, timeout_s: float
    ) -> types.GenerateContentResponse:
        client = self._open()
        config.http_options = types.HttpOptions(timeout=round(timeout_s * 1000))
        with _errors_translated():
            # The SDK's own timeout covers the answer's head and body alike; this one holds whatever the SDK does.
            async with asyncio.timeout(timeout_s + 1):
                return await client.aio.models.generate_content(model=model, contents=prompt, config=config)

    def _open(self) -> genai.Client:
        """The client, made on first use, in the event loop that uses it."""
        if self._client is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0),
                timeout=aiohttp.ClientTimeout(total=None, sock_connect=_CONNECT_S),
                trust_env=True,
                read_bufsize=2**20,
            )
            options = types.HttpOptions(
                base_url=self._base_url,
                retry_options=types.HttpRetryOptions(attempts=1),
                aiohttp_client=self._session,
            )
            self._client = genai.Client(api_key=self._api_key, vertexai=False, http_options=options)
        return self._client


@contextmanager
def _errors_translated() -> Iterator[None]:
    try:
        yield
    except errors.APIError as error:
        headers = getattr(error.response, "headers", None) or {}
        retry_after_s = read_retry_info(error.details)
        if retry_after_s is None:
            retry_after_s = read_retry_after(headers)
        raise error_of_status(error.code or 500, retry_after_s=retry_after_s) from error
    except (aiohttp.ClientError, OSError, TimeoutError) as error:
        raise no_answer() from error
    except (ValueError, errors.UnknownApiResponseError) as error:  # no JSON, or JSON of another shape
        raise BadPicture("The picture service sent an answer that cannot be read.") from error


def _take_picture(answer: types.GenerateContentResponse) -> bytes:
    pictures = [
        part.inline_data.data
        for part in _parts_of(answer)
        if part.inline_data and part.inline_data.data and not part.thought
    ]
    if not pictures:
        raise _error_without_result(answer, "The picture service sent no picture.")
    return pictures[-1]


def _parts_of(answer: types.GenerateContentResponse) -> list[types.Part]:
    candidates = answer.candidates or []
    content = candidates[0].content if candidates else None
    return list(content.parts or []) if content else []


def _error_without_result(answer: types.GenerateContentResponse, otherwise: str) -> ProviderError:
    feedback = answer.prompt_feedback
    if feedback is not None and feedback.block_reason is not None:
        return PassageBlocked("The picture service refuses this passage: a filter of the service holds it back.")
    reason = answer.candidates[0].finish_reason if answer.candidates else None
    if reason is not None and (because := _BLOCKED_BECAUSE.get(reason)):
        return PassageBlocked(f"The picture service refuses this passage: {because}.")
    if reason in _ACCOUNT_REFUSED:
        return ProviderRejected("The picture service has limited our account; the operator must mend it.")
    return BadPicture(otherwise)
