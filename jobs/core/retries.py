"""Retry policies: how often, and after which delay; design section 6."""

import random
from collections.abc import Mapping
from dataclasses import dataclass

from jobs.core.states import RetryPolicyName


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """Exponential backoff with jitter.

    Args:
        retries: How often a job is run again after its first run failed.
        base_s: The delay before the first retry, in seconds; it doubles for each further one.
        cap_s: The longest delay, in seconds.
        jittered: Draw each delay between half its value and its value, so that retries do not come in step.
    """

    retries: int
    base_s: float
    cap_s: float
    jittered: bool = True

    def delay_s(self, retry: int, *, asked_s: float | None = None) -> float:
        """Seconds to wait before retry number `retry` (from 0); a delay that the provider asked for replaces ours."""
        if asked_s is not None:
            return max(asked_s, 0.0)
        # The exponent is bounded: a retry count read from elsewhere must not overflow a float.
        full_s = min(self.base_s * 2 ** min(retry, 60), self.cap_s)
        return random.uniform(full_s / 2, full_s) if self.jittered else full_s  # noqa: S311 (jitter is no secret)

    def delays_s(self, first: int = 0) -> list[int]:
        """The delays before each retry from number `first` on, in whole seconds, as RQ's `Retry` takes them."""
        return [round(self.delay_s(retry)) for retry in range(first, self.retries)]


HEAVY = RetryPolicy(retries=3, base_s=60, cap_s=600)
NORMAL = RetryPolicy(retries=5, base_s=30, cap_s=300)
LIGHT = RetryPolicy(retries=2, base_s=10, cap_s=60)
IMPATIENT = RetryPolicy(retries=3, base_s=2, cap_s=8, jittered=False)

IMAGE_POLICIES: Mapping[str, RetryPolicy] = {
    RetryPolicyName.PATIENT: NORMAL,
    RetryPolicyName.IMPATIENT: IMPATIENT,
}
"""The policy of an image by its row's `retry_policy`."""
