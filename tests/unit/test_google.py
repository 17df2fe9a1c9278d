"""What an answer of Google's means."""

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from google.genai import types

from jobs import google
from jobs.core.errors import (
    BadPicture,
    PassageBlocked,
    ProviderBusy,
    ProviderError,
    ProviderRejected,
    ProviderUnavailable,
)
from jobs.core.provider_errors import MAX_RETRY_AFTER_S, error_of_status, read_retry_after, read_retry_info


def _answer(finish_reason: types.FinishReason | None, block_reason: types.BlockedReason | None = None) -> ProviderError:
    answer = types.GenerateContentResponse(
        candidates=[types.Candidate(finish_reason=finish_reason)] if finish_reason else [],
        prompt_feedback=types.GenerateContentResponsePromptFeedback(block_reason=block_reason)
        if block_reason
        else None,
    )
    return google._error_without_result(answer, "nothing")


def test_every_finish_reason_that_the_sdk_knows_is_decided_once() -> None:
    tables: list[set[types.FinishReason]] = [
        set(google._BLOCKED_BECAUSE), set(google._ACCOUNT_REFUSED), set(google._TRY_AGAIN)
    ]  # fmt: skip
    assert set.union(*tables) == set(types.FinishReason)
    assert sum(map(len, tables)) == len(types.FinishReason)


@pytest.mark.parametrize("reason", google._BLOCKED_BECAUSE)
def test_a_refusal_is_final_and_says_why(reason: types.FinishReason) -> None:
    error = _answer(reason)
    assert isinstance(error, PassageBlocked)
    assert not error.retryable
    assert google._BLOCKED_BECAUSE[reason] in str(error)


@pytest.mark.parametrize("reason", sorted(google._TRY_AGAIN))
def test_an_answer_without_a_picture_is_tried_again(reason: types.FinishReason) -> None:
    error = _answer(reason)
    assert isinstance(error, BadPicture)
    assert error.retryable


def test_an_empty_answer_is_tried_again_and_a_limited_account_is_not() -> None:
    assert isinstance(_answer(None), BadPicture)
    assert isinstance(_answer(types.FinishReason.PUP_LIMITED_DISABLED), ProviderRejected)


@pytest.mark.parametrize("reason", list(types.BlockedReason))
def test_a_blocked_prompt_is_final(reason: types.BlockedReason) -> None:
    assert isinstance(_answer(None, reason), PassageBlocked)


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, ProviderRejected), (401, ProviderRejected), (403, ProviderRejected), (404, ProviderRejected),
        (413, ProviderRejected), (408, ProviderUnavailable), (429, ProviderBusy), (500, ProviderUnavailable),
        (502, ProviderUnavailable), (503, ProviderUnavailable), (504, ProviderUnavailable), (529, ProviderUnavailable),
    ],
)  # fmt: skip
def test_a_status_says_whether_trying_again_can_help(status: int, kind: type[ProviderError]) -> None:
    error = error_of_status(status, retry_after_s=3)
    assert type(error) is kind
    assert error.retry_after_s == (3 if kind.retryable else None)


@pytest.mark.parametrize(
    ("delay", "seconds"),
    [("2s", 2.0), ("0.5s", 0.5), ("99999s", MAX_RETRY_AFTER_S), ("2", None), (None, None), ([], None)],
)
def test_a_retry_info_is_read(delay: object, seconds: float | None) -> None:
    entry = {"@type": "type.googleapis.com/google.rpc.RetryInfo", "retryDelay": delay}
    assert read_retry_info({"error": {"details": [{"@type": "other"}, entry]}}) == seconds


@pytest.mark.parametrize(
    "details", [None, "x", {}, {"error": None}, {"error": {"details": "x"}}, {"error": {"details": [1]}}]
)
def test_details_of_any_shape_are_survived(details: object) -> None:
    assert read_retry_info(details) is None


def test_a_retry_after_field_is_seconds_or_a_date() -> None:
    soon = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert read_retry_after({"Retry-After": "7"}) == 7
    assert 20 < (read_retry_after({"Retry-After": soon}) or 0) <= 30
    assert read_retry_after({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}) == 0
    assert [read_retry_after({"Retry-After": value}) for value in ("", "soon", "-1", "²")] == [None] * 4
    assert read_retry_after({}) is None
