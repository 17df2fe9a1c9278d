"""Translation: once per text, across tasks and processes; a failed one falls back."""

import asyncio
import subprocess
from collections.abc import AsyncIterator

import pytest
import redis

from jobs.core.queue_client import connect_redis_async
from jobs.google import GoogleClient
from jobs.illustration.translation import COUNTS_KEY, Outcome, Translator
from jobs.launcher.servers import Servers
from tests.conftest import PYTHON, ROOT, ServedStandin
from tests.standin import Rule

TEXT = "Туман лежал на воде."

ASK = """
import asyncio, sys
from jobs.core.queue_client import connect_redis_async
from jobs.google import GoogleClient
from jobs.illustration.translation import Translator

async def main():
    google, cache = GoogleClient("k", base_url=sys.argv[1]), connect_redis_async(sys.argv[2])
    translator = Translator(google, cache, model="m", ttl_s=3600)
    answers = await asyncio.gather(*(translator.translate(sys.argv[3]) for _ in range(30)))
    assert len({answer.text for answer in answers}) == 1
    print(answers[0].text)
    await google.close()
    await cache.aclose()

asyncio.run(main())
"""


@pytest.fixture
async def cache(servers: Servers) -> AsyncIterator[redis.asyncio.Redis]:
    client = connect_redis_async(servers.redis_url)
    yield client
    await client.aclose()


@pytest.fixture
async def translator(cache: redis.asyncio.Redis, provider_server: ServedStandin) -> AsyncIterator[Translator]:
    google = GoogleClient("k", base_url=provider_server.url)
    yield Translator(google, cache, model="m", ttl_s=3600)
    await google.close()


async def test_a_text_is_translated_once_and_kept(
    translator: Translator, provider_server: ServedStandin, redis_client: redis.Redis
) -> None:
    first = await translator.translate(TEXT)
    second = await translator.translate(TEXT)
    assert (first.outcome, second.outcome) == (Outcome.MISS, Outcome.HIT)
    assert first.text == second.text == f"translated: {TEXT}"
    [call] = provider_server.standin.calls
    assert call.body["generationConfig"]["temperature"] == 0.3
    assert "150 words" in str(call.body["systemInstruction"])
    [key] = redis_client.keys("translation:*[0-9a-f]")
    assert 3590 < redis_client.ttl(key) <= 3600
    assert TEXT not in str(key)
    assert redis_client.hgetall(COUNTS_KEY) == {"miss": "1", "hit": "1"}


async def test_a_hundred_at_once_make_one_call(
    translator: Translator, provider_server: ServedStandin, redis_client: redis.Redis
) -> None:
    provider_server.standin.rules = [Rule(delay_s=0.3)]
    answers = await asyncio.gather(*(translator.translate(TEXT) for _ in range(100)))
    assert {answer.text for answer in answers} == {f"translated: {TEXT}"}
    assert provider_server.standin.count("text") == 1
    assert redis_client.hgetall(COUNTS_KEY) == {"miss": "1", "shared": "99"}


async def test_many_processes_make_one_call(servers: Servers, provider_server: ServedStandin) -> None:
    provider_server.standin.rules = [Rule(delay_s=2)]
    command = [PYTHON, "-c", ASK, provider_server.url, servers.redis_url, TEXT]
    processes = [await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=subprocess.PIPE) for _ in range(3)]
    outputs = [(await process.communicate())[0].decode().splitlines()[-1] for process in processes]
    assert outputs == [f"translated: {TEXT}"] * 3
    assert provider_server.standin.count("text") == 1


async def test_another_text_or_model_is_another_translation(
    translator: Translator, cache: redis.asyncio.Redis, provider_server: ServedStandin
) -> None:
    google = GoogleClient("k", base_url=provider_server.url)
    other = Translator(google, cache, model="n", ttl_s=3600)
    await translator.translate(TEXT)
    await other.translate(TEXT)
    await translator.translate(TEXT + "!")
    await google.close()
    assert provider_server.standin.count("text") == 3


async def test_a_failed_translation_gives_the_original_and_is_not_asked_for_again_at_once(
    translator: Translator, provider_server: ServedStandin, redis_client: redis.Redis
) -> None:
    provider_server.standin.rules = [Rule(status=503, delay_s=0.2)]
    answers = await asyncio.gather(*(translator.translate(TEXT) for _ in range(20)))
    assert {(answer.text, answer.outcome, answer.error_code) for answer in answers} == {
        (TEXT, Outcome.FAILED, "provider_unavailable")
    }
    assert provider_server.standin.count("text") == 1
    [key] = redis_client.keys("translation:*[0-9a-f]")
    assert 0 < redis_client.ttl(key) <= 10


async def test_one_that_waits_may_be_cancelled_without_harm_to_the_others(
    translator: Translator, provider_server: ServedStandin
) -> None:
    provider_server.standin.rules = [Rule(delay_s=0.3)]
    first, second = (asyncio.create_task(translator.translate(TEXT)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).text == f"translated: {TEXT}"


async def test_without_redis_the_original_is_used(provider_server: ServedStandin) -> None:
    cache = connect_redis_async("redis://127.0.0.1:1/0")
    google = GoogleClient("k", base_url=provider_server.url)
    answer = await Translator(google, cache, model="m", ttl_s=1).translate(TEXT)
    await cache.aclose()
    await google.close()
    assert (answer.text, answer.error_code) == (TEXT, "unavailable")


async def test_a_lock_whose_holder_died_runs_out(
    translator: Translator, provider_server: ServedStandin, redis_client: redis.Redis
) -> None:
    redis_client.set(f"{translator._key(TEXT)}:lock", "somebody who died", px=300)
    assert (await translator.translate(TEXT)).outcome is Outcome.MISS
    assert provider_server.standin.count("text") == 1
