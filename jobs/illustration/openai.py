"""Pictures from any server with `POST /v1/images/generations`: OpenAI, LocalAI, stable-diffusion.cpp."""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urljoin, urlsplit

import aiohttp

from jobs.core.errors import BadPicture, PassageBlocked, ProviderError, ProviderRejected
from jobs.core.provider_errors import error_of_status, no_answer, read_retry_after
from jobs.core.states import AspectRatio
from jobs.illustration.picture import MAX_BYTES
from jobs.illustration.provider import Picture, PictureRequest

DEFAULT_MODEL = "gpt-image-1"
_CONNECT_S = 10.0
_MAX_ANSWER_BYTES = MAX_BYTES * 4 // 3 + 64 * 1024  # base64, and the JSON around it
_BLOCKED_CODES = {"content_policy_violation", "moderation_blocked", "content_filter"}

# The three sizes that OpenAI's image models and their imitators share, by the ratio that comes nearest.
_SIZES: Mapping[AspectRatio, str] = {
    AspectRatio.SQUARE: "1024x1024",
    AspectRatio.LANDSCAPE_4_3: "1536x1024",
    AspectRatio.LANDSCAPE_3_2: "1536x1024",
    AspectRatio.LANDSCAPE_16_9: "1536x1024",
    AspectRatio.PORTRAIT_3_4: "1024x1536",
    AspectRatio.PORTRAIT_2_3: "1024x1536",
    AspectRatio.PORTRAIT_9_16: "1024x1536",
}


class OpenAIProvider:
    """Draws with one request a picture, and fetches the picture by one more where the answer is an address.

    Args:
        base_url: With or without `/v1` at its end; an address in an answer is fetched from this host only.
        api_key: Sent as a bearer token, if there is one.
        model: The model to ask for.
        timeout_s: How long a request may take, in seconds.
    """

    name = "openai"
    reads_prompt = True

    def __init__(self, base_url: str, *, api_key: str | None, model: str | None, timeout_s: float) -> None:
        self.model = model or DEFAULT_MODEL
        self._root = base_url.rstrip("/").removesuffix("/v1")
        self._headers = {"Authorization": f"Bearer {api_key}"} if api_key else {}
        self._timeout = aiohttp.ClientTimeout(total=timeout_s, sock_connect=_CONNECT_S)
        self._session: aiohttp.ClientSession | None = None

    async def draw_picture(self, request: PictureRequest) -> Picture:
        """One picture.

        Raises:
            PassageBlocked: The server refuses the prompt.
            BadPicture: The answer holds no picture.
            ProviderError: The request failed.
        """
        body = {"model": self.model, "prompt": request.prompt, "n": 1, "size": _SIZES[request.aspect_ratio]}
        answer = await self._request("POST", f"{self._root}/v1/images/generations", body)
        try:
            data = json.loads(answer)
            [entry] = data["data"]
            usage = data.get("usage") or {}
            picture = await self._take_picture(entry)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BadPicture("The picture service sent an answer that cannot be read.") from error
        return Picture(picture, data.get("model"), usage.get("input_tokens"), usage.get("output_tokens"))

    async def close(self) -> None:
        """Close the connections."""
        if self._session is not None:
            await self._session.close()

    async def _take_picture(self, entry: Mapping[str, Any]) -> bytes:
        if encoded := entry.get("b64_json"):
            try:
                return base64.b64decode(encoded, validate=True)
            except binascii.Error as error:
                raise BadPicture("The picture service sent an answer that cannot be read.") from error
        url = urljoin(self._root, entry["url"])
        if urlsplit(url)[:2] != urlsplit(self._root)[:2]:
            raise ProviderRejected("The picture service sends us to another host, where we do not go.")
        return await self._request("GET", url)

    async def _request(self, method: str, url: str, body: object = None) -> bytes:
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=0), headers=self._headers, timeout=self._timeout, trust_env=True
            )
        try:
            async with self._session.request(method, url, json=body, allow_redirects=False) as answer:
                raw = await _read_bounded(answer)
        except (TimeoutError, aiohttp.ClientError, OSError) as error:
            raise no_answer() from error
        if answer.status != 200:
            raise _error_of_answer(answer, raw)
        return raw


async def _read_bounded(answer: aiohttp.ClientResponse) -> bytes:
    raw = bytearray()
    async for chunk in answer.content.iter_chunked(2**18):
        raw += chunk
        if len(raw) > _MAX_ANSWER_BYTES:
            raise BadPicture("The picture service sent more than a picture can be.")
    return bytes(raw)


def _error_of_answer(answer: aiohttp.ClientResponse, raw: bytes) -> ProviderError:
    try:
        code = json.loads(raw)["error"]["code"]
    except (ValueError, KeyError, TypeError):
        code = None
    if code in _BLOCKED_CODES:
        return PassageBlocked("The picture service refuses this passage: a filter of the service holds it back.")
    return error_of_status(answer.status, retry_after_s=read_retry_after(answer.headers))
