"""The settings: every environment variable that Vignette reads, with its default."""

from functools import cached_property
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from jobs.core.errors import SettingsError


class Settings(BaseSettings):
    """What the environment (first) and the file .env say; an empty value counts as unset.

    Secrets are `SecretStr`, so that printing or logging the settings shows none.
    """

    model_config = SettingsConfigDict(env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True)

    redis_url: SecretStr | None = Field(None, description="Redis; unset: an embedded one under VAR")
    database_url: SecretStr | None = Field(None, description="Postgres; unset: an embedded one under VAR")
    var: Path = Field(Path("var"), description="where the embedded servers, pictures and tokens lie")
    host: str = Field("127.0.0.1", description="address that the web process listens on")
    port: int = Field(8000, ge=1, le=65535, description="port that the web process listens on")
    dashboard_port: int = Field(9181, ge=1, le=65535, description="port of rq-dashboard, on loopback")
    rq_dashboard_username: str = Field("vignette", description="who may open rq-dashboard")
    rq_dashboard_password: SecretStr | None = Field(
        None, description="and with which password; unset: one made under VAR"
    )
    workers: int = Field(1, ge=1, le=64, description="worker processes under make run")
    lease_s: float = Field(
        20,
        ge=1,
        le=600,
        description="how long a picture stays a silent worker's, in seconds; renewed four times as often",
    )
    reconcile_every_s: int = Field(15, ge=1, le=3600, description="how often lost pictures are looked for, in seconds")
    provider_timeout_s: float = Field(
        120, ge=1, le=150, description="how long a provider may take for one picture, in seconds"
    )
    shutdown_grace_s: float = Field(
        30, ge=0, le=170, description="how long a worker that is told to stop lets its job finish, in seconds"
    )
    image_provider: Literal["gemini", "openai", "sketch"] | None = Field(
        None,
        description="what draws; unset: gemini with GOOGLE_API_KEY, else openai with OPENAI_BASE_URL, else sketch",
    )
    image_model: str | None = Field(
        None, description="the model that draws; unset: gemini-3.1-flash-image, or gpt-image-1 for openai"
    )
    image_size: Literal["1K", "2K", "4K"] | None = Field(
        None, description="size of Gemini's pictures; unset: the model's own"
    )
    google_api_key: SecretStr | None = Field(None, description="key of Google's Gemini API")
    google_gemini_base_url: str | None = Field(
        None, pattern=r"^https?://", description="another address of the Gemini API: a proxy, a test"
    )
    openai_base_url: str | None = Field(
        None, pattern=r"^https?://", description="a server with POST /v1/images/generations"
    )
    openai_api_key: SecretStr | None = Field(None, description="its key, if it asks for one")
    text_model: str = Field("gemini-3.5-flash-lite", description="the Gemini model that translates passages")
    translation_ttl: int = Field(3600, ge=1, description="how long a translation is kept, in seconds")
    image_store_url: str | None = Field(
        None,
        pattern=r"^(file|s3)://",
        description="where pictures are kept: file:///path or s3://bucket/prefix",
    )
    log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR"] = Field("INFO", description="least level logged")

    @classmethod
    def load(cls) -> Self:
        """Read the environment.

        Raises:
            SettingsError: A variable holds what cannot be used.
        """
        try:
            return cls()
        except ValidationError as error:
            complaints = (f"{'.'.join(map(str, e['loc'])).upper()}: {e['msg']}" for e in error.errors())
            raise SettingsError("; ".join(complaints)) from None

    @cached_property
    def required_redis_url(self) -> str:
        """The Redis URL, in a process that cannot do without.

        Raises:
            SettingsError: It is unset: the process was not started through the launcher.
        """
        return _require(self.redis_url, "REDIS_URL")

    @cached_property
    def required_database_url(self) -> str:
        """The Postgres URL, in a process that cannot do without.

        Raises:
            SettingsError: It is unset: the process was not started through the launcher.
        """
        return _require(self.database_url, "DATABASE_URL")

    @cached_property
    def resolved_image_provider(self) -> Literal["gemini", "openai", "sketch"]:
        """Which provider draws: the one that is asked for, else the first that there is a key or an address for."""
        if self.image_provider is not None:
            return self.image_provider
        if self.google_api_key is not None:
            return "gemini"
        return "openai" if self.openai_base_url is not None else "sketch"

    @cached_property
    def resolved_image_store_url(self) -> str:
        """The image store's URL; by default the folder images under VAR."""
        return self.image_store_url or (self.var.resolve() / "images").as_uri()


def _require(url: SecretStr | None, name: str) -> str:
    if url is None:
        raise SettingsError(f"{name} is unset; start this through `make run`, or set it to your server's URL")
    return url.get_secret_value()
