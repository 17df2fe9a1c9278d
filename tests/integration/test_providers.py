"""One suite for every provider, against the stand-in over the wire."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from jobs.core.errors import (
    BadPicture,
    PassageBlocked,
    ProviderBusy,
    ProviderError,
    ProviderRejected,
    ProviderUnavailable,
)
from jobs.core.settings import Settings
from jobs.core.states import AspectRatio
from jobs.google import GoogleClient
from jobs.illustration import openai
from jobs.illustration.picture import inspect_picture
from jobs.illustration.provider import PictureRequest, Provider
from jobs.tasks.resources import make_provider
from tests.conftest import ServedStandin, wait_until
from tests.standin import Rule, make_picture

KEY = "AIza-a-secret-key"
REQUEST = PictureRequest("Ночь над озером.", "Night over a lake.", AspectRatio.LANDSCAPE_16_9)


@asynccontextmanager
async def open_provider(name: Any, url: str, timeout_s: float = 30) -> AsyncIterator[Provider]:
    settings = Settings(
        _env_file=None,
        image_provider=name,
        google_api_key=KEY,
        google_gemini_base_url=url,
        openai_base_url=url + "/v1",
        openai_api_key=KEY,
        provider_timeout_s=timeout_s,
    )
    client = GoogleClient(KEY, base_url=url)
    made = make_provider(settings, client)
    yield made
    await made.close()
    await client.close()


@pytest.fixture(params=["gemini", "openai", "sketch"])
async def provider(request: pytest.FixtureRequest, provider_server: ServedStandin) -> AsyncIterator[Provider]:
    async with open_provider(request.param, provider_server.url) as opened:
        yield opened


@pytest.fixture(params=["gemini", "openai"])
async def remote(request: pytest.FixtureRequest, provider_server: ServedStandin) -> AsyncIterator[Provider]:
    """The providers with a server, which may fail."""
    async with open_provider(request.param, provider_server.url) as opened:
        yield opened


async def test_one_request_is_one_call_and_one_picture(provider: Provider, provider_server: ServedStandin) -> None:
    picture = await provider.draw_picture(REQUEST)
    facts = inspect_picture(picture.data)
    assert facts.content_type == "image/png"
    assert provider_server.standin.count("picture") == (1 if provider.reads_prompt else 0)
    if provider.reads_prompt:
        assert picture.data == make_picture(0)
        assert picture.model_version == f"{provider.model}-001"
        assert (picture.input_tokens, picture.output_tokens) == (11, 1290)
        [call] = provider_server.standin.calls
        assert (call.prompt, call.model, call.key) == (REQUEST.prompt, provider.model, KEY)


async def test_the_ratio_is_asked_for(provider: Provider, provider_server: ServedStandin) -> None:
    await provider.draw_picture(REQUEST)
    bodies = str([call.body for call in provider_server.standin.calls])
    assert {"gemini": "16:9", "openai": "1536x1024", "sketch": ""}[provider.name] in bodies


async def test_four_megabytes_arrive_as_they_were_sent(remote: Provider, provider_server: ServedStandin) -> None:
    provider_server.standin.rules = [Rule(size_bytes=4_000_000, drip_s=0.2)]
    picture = await remote.draw_picture(REQUEST)
    assert picture.data == make_picture(4_000_000)
    assert len(picture.data) > 3_900_000


@pytest.mark.parametrize(
    ("rule", "kind"),
    [
        (Rule(status=400), ProviderRejected),
        (Rule(status=401), ProviderRejected),
        (Rule(status=403), ProviderRejected),
        (Rule(status=404), ProviderRejected),
        (Rule(status=429), ProviderBusy),
        (Rule(status=500), ProviderUnavailable),
        (Rule(status=503), ProviderUnavailable),
        (Rule(cut="before"), ProviderUnavailable),
        (Rule(cut="inside", size_bytes=1_000_000), ProviderUnavailable),
        (Rule(body="empty"), BadPicture),
        (Rule(body="no json"), BadPicture),
        (Rule(body="other json"), BadPicture),
    ],
    ids=str,
)
async def test_a_failure_is_ours_after_exactly_one_call(
    remote: Provider, provider_server: ServedStandin, rule: Rule, kind: type[ProviderError]
) -> None:
    provider_server.standin.rules = [rule]
    with pytest.raises(ProviderError) as caught:
        await remote.draw_picture(REQUEST)
    assert type(caught.value) is kind
    assert "secret provider text" not in str(caught.value)
    assert KEY not in str(caught.value)
    assert provider_server.standin.count("picture") == 1


async def test_the_servers_own_delay_is_taken(remote: Provider, provider_server: ServedStandin) -> None:
    provider_server.standin.rules = [Rule(status=429, retry_after="9", retry_info="2.5s")]
    with pytest.raises(ProviderBusy) as caught:
        await remote.draw_picture(REQUEST)
    assert caught.value.retry_after_s == {"gemini": 2.5, "openai": 9}[remote.name]


@pytest.mark.parametrize("name", ["gemini", "openai"])
async def test_a_server_that_is_not_there_is_unavailable(name: str) -> None:
    async with open_provider(name, "http://127.0.0.1:1") as provider:
        with pytest.raises(ProviderUnavailable):
            await provider.draw_picture(REQUEST)


@pytest.mark.parametrize("name", ["gemini", "openai"])
async def test_a_silent_server_is_given_up(name: str, provider_server: ServedStandin) -> None:
    provider_server.standin.rules = [Rule(delay_s=30)]
    async with open_provider(name, provider_server.url, timeout_s=1) as provider:
        with pytest.raises(ProviderUnavailable):
            await provider.draw_picture(REQUEST)
    assert provider_server.standin.count("picture") == 1


async def test_a_cancelled_request_lets_go_of_its_connection(remote: Provider, provider_server: ServedStandin) -> None:
    provider_server.standin.rules = [Rule(drip_s=60, size_bytes=1_000_000)]
    drawing = asyncio.create_task(remote.draw_picture(REQUEST))
    await wait_until(lambda: provider_server.standin.calls)
    drawing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await drawing


@pytest.mark.parametrize("reason", ["SAFETY", "PROHIBITED_CONTENT", "IMAGE_SAFETY", "BLOCKLIST"])
async def test_gemini_refuses_a_passage(provider_server: ServedStandin, reason: str) -> None:
    client = GoogleClient(KEY, base_url=provider_server.url)
    provider_server.standin.rules = [Rule(finish_reason=reason)]
    with pytest.raises(PassageBlocked):
        await client.draw_picture("x", model="m", aspect_ratio="1:1", image_size=None, timeout_s=30)
    await client.close()


async def test_gemini_refuses_a_prompt(provider_server: ServedStandin) -> None:
    client = GoogleClient(KEY, base_url=provider_server.url)
    provider_server.standin.rules = [Rule(block_reason="PROHIBITED_CONTENT")]
    with pytest.raises(PassageBlocked):
        await client.draw_picture("x", model="m", aspect_ratio="1:1", image_size="2K", timeout_s=30)
    await client.close()
    assert provider_server.standin.calls[0].body["generationConfig"]["imageConfig"]["imageSize"] == "2K"


async def test_openai_answers_an_address_of_its_own_host_only(provider_server: ServedStandin) -> None:
    provider = openai.OpenAIProvider(provider_server.url, api_key=None, model="sd", timeout_s=30)
    provider_server.standin.rules = [Rule(body="url", times=1), Rule(body="foreign url")]
    assert (await provider.draw_picture(REQUEST)).data == make_picture(0)
    with pytest.raises(ProviderRejected):
        await provider.draw_picture(REQUEST)
    await provider.close()


@pytest.mark.parametrize("code", ["content_policy_violation", "moderation_blocked"])
async def test_openai_refuses_a_passage(provider_server: ServedStandin, code: str) -> None:
    provider = openai.OpenAIProvider(provider_server.url, api_key=None, model="sd", timeout_s=30)
    provider_server.standin.rules = [Rule(status=400, error_code=code)]
    with pytest.raises(PassageBlocked):
        await provider.draw_picture(REQUEST)
    await provider.close()
