"""The settings."""

import pytest

from jobs.core.errors import SettingsError
from jobs.core.settings import Settings


@pytest.mark.parametrize(
    ("name", "value"),
    [("PORT", "eighty"), ("WORKERS", "0"), ("IMAGE_STORE_URL", "ftp://x"), ("IMAGE_PROVIDER", "dalle")],
)
def test_a_bad_value_is_named_and_not_repeated(monkeypatch: pytest.MonkeyPatch, name: str, value: str) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError, match=name):
        Settings.load()


def test_an_empty_value_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "")
    assert Settings.load().redis_url is None


def test_a_process_that_needs_a_server_says_which_variable_is_unset() -> None:
    with pytest.raises(SettingsError, match="DATABASE_URL"):
        _ = Settings(_env_file=None).required_database_url


def test_printed_settings_show_no_secret() -> None:
    shown = repr(Settings(_env_file=None, redis_url="redis://:hunter2@host/0", rq_dashboard_password="hunter3"))
    assert "hunter" not in shown
