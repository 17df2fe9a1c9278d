"""Retry policies: design section 6."""

import pytest

from jobs.core import retries
from jobs.core.queues import QUEUES


@pytest.mark.parametrize(
    ("policy", "full_delays_s"),
    [
        (retries.HEAVY, [60, 120, 240]),
        (retries.NORMAL, [30, 60, 120, 240, 300]),
        (retries.LIGHT, [10, 20]),
    ],
)
def test_delays_are_drawn_between_half_and_the_full_exponential_value(
    policy: retries.RetryPolicy, full_delays_s: list[int]
) -> None:
    assert policy.retries == len(full_delays_s)
    for retry, full_s in enumerate(full_delays_s):
        drawn = [policy.delay_s(retry) for _ in range(200)]
        assert full_s / 2 <= min(drawn) <= max(drawn) <= full_s
        assert len(set(drawn)) > 100


def test_impatient_retries_come_after_2_4_and_8_seconds() -> None:
    assert retries.IMPATIENT.delays_s() == [2, 4, 8]
    assert retries.IMPATIENT.delays_s(first=2) == [8]
    assert retries.IMPATIENT.delays_s(first=3) == []


def test_a_delay_that_the_provider_asks_for_replaces_ours() -> None:
    assert retries.NORMAL.delay_s(4, asked_s=1.5) == 1.5
    assert retries.NORMAL.delay_s(0, asked_s=-1) == 0


def test_a_huge_retry_count_gives_the_longest_delay() -> None:
    assert retries.NORMAL.delay_s(10**9) <= 300


def test_the_queues_are_heavy_normal_and_light() -> None:
    assert [(queue.name, queue.retry.retries, queue.job_timeout_s) for queue in QUEUES] == [
        ("heavy", 3, 1800),
        ("normal", 5, 180),
        ("light", 2, 120),
    ]
