"""The tree of errors, its drawing, and its HTTP statuses."""

import re

from jobs.core import errors
from jobs.core.errors import VignetteError
from service.app import ERROR_STATUSES
from service.problems import answer_error


def _tree(kind: type[VignetteError]) -> list[type[VignetteError]]:
    return [
        kind,
        *(each for child in kind.__subclasses__() for each in _tree(child) if each.__module__ == kind.__module__),
    ]


def test_the_docstring_draws_every_class() -> None:
    assert errors.__doc__ is not None
    drawn = re.findall(r"[|`]-- (\w+)", errors.__doc__)
    assert drawn == [kind.__name__ for kind in _tree(VignetteError)[1:]]


def test_every_error_that_a_request_can_meet_has_a_status_of_its_own_or_its_parents() -> None:
    never_in_a_request = {"Overdue", "LeaseLost", "HandedBack", "RetryLater", "GaveUp", "ForbiddenJob", "SettingsError"}
    for kind in _tree(VignetteError)[1:]:
        nearest = next(parent for parent in kind.__mro__ if parent in ERROR_STATUSES)
        assert nearest is not VignetteError or kind.__name__ in never_in_a_request | {"RequestError"}, kind


def test_a_problem_names_the_fields_that_are_wrong() -> None:
    error = errors.InvalidFields([{"field": "title", "reason": "too long"}])
    answer = answer_error(ERROR_STATUSES, error)
    assert answer.status_code == 422
    assert b'"errors":[{"field":"title","reason":"too long"}]' in bytes(answer.body)
    assert answer.headers["content-type"] == "application/problem+json"


def test_codes_are_stable() -> None:
    assert {kind.__name__: kind.code for kind in _tree(VignetteError) if "code" in vars(kind)} == {
        "VignetteError": "internal",
        "MalformedRequest": "malformed",
        "NotSignedIn": "unauthenticated",
        "NotFound": "not_found",
        "AlreadyIllustrated": "already_illustrated",
        "TaskOver": "task_over",
        "BodyTooLarge": "body_too_large",
        "InvalidFields": "invalid",
        "Conflict": "conflict",
        "Unavailable": "unavailable",
        "StoreUnavailable": "store_unavailable",
        "ProviderError": "provider_failed",
        "ProviderUnavailable": "provider_unavailable",
        "ProviderBusy": "provider_busy",
        "BadPicture": "bad_picture",
        "ProviderRejected": "provider_rejected",
        "PassageBlocked": "blocked",
        "Overdue": "timeout",
        "LeaseLost": "lease_lost",
        "HandedBack": "handed_back",
        "ForbiddenJob": "forbidden_job",
        "SettingsError": "settings",
    }


def test_a_described_exception_gives_class_and_place_and_no_text() -> None:
    try:
        raise ValueError("a passage that nobody should read")
    except ValueError as error:
        described = errors.describe_exception(error)
    assert re.fullmatch(r"ValueError at tests\.unit\.test_errors:\d+", described)
