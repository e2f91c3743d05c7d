"""Where an OpenAI-compatible model is asked: address, limits, and the key, which stays secret."""

import importlib.util
import ipaddress
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from openai import AsyncOpenAI


class ApiError(RuntimeError):
    """The endpoint refuses, fails for good, or would cost more than allowed; names no key."""


@dataclass(frozen=True)
class Endpoint:
    """Where to ask, how hard, and how much it may cost.

    Attributes:
      base_url: such as ``https://api.openai.com/v1`` or ``http://localhost:8000/v1``.
      model: the model's name there.
      concurrency: requests under way at once.
      timeout: seconds for one request.
      attempts: tries per request before giving up; at most 3 before the endpoint has given its
        first value, unless it asks to wait.
      max_calls: stop before more requests than this have been answered, or may have been.
      max_tokens: stop before more tokens than this have been used, prompts and replies together.
      key_variable: the environment variable that holds the key; local servers need none. None
        sends no key whatever the environment holds.

    Raises:
      ValueError: if a number is out of range, the URL is not plain http(s), or a key would go to
        another machine unencrypted.
    """

    base_url: str
    model: str
    concurrency: int = 16
    timeout: float = 60.0
    attempts: int = 8
    max_calls: int | None = None
    max_tokens: int | None = None
    key_variable: str | None = "OPENAI_API_KEY"

    def __post_init__(self) -> None:
        for name in ("concurrency", "timeout", "attempts", "max_calls", "max_tokens"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                raise ValueError(f"{name} must be above 0, got {value}.")
        parts = urlsplit(self.base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("base_url must begin with http:// or https:// and name a host.")
        if parts.username or parts.password or parts.query:
            raise ValueError(
                "base_url must hold no password or query: the key is read from the environment "
                "variable key_variable."
            )
        self._key()

    def client(self) -> "AsyncOpenAI":
        """A client with the key of the environment; retries and limits are ours.

        Raises:
          ValueError: if the key would go to another machine unencrypted.
        """
        from openai import AsyncOpenAI

        return AsyncOpenAI(
            api_key=self._key() or "none",
            base_url=self.base_url,
            timeout=self.timeout,
            max_retries=0,
        )

    def clean(self, message: str) -> str:
        """A message without the key, in one line."""
        key = os.environ.get(self.key_variable) if self.key_variable else None
        message = message.replace(key, "***") if key else message
        return " ".join(message.split())[:500]

    def _key(self) -> str | None:
        """The key, or None; the environment may have changed since the last time."""
        key = os.environ.get(self.key_variable) if self.key_variable else None
        parts = urlsplit(self.base_url)
        if key and parts.scheme == "http" and not _is_this_machine(parts.hostname or ""):
            raise ValueError(
                f"base_url is plain http to {parts.hostname}: the key in {self.key_variable} could "
                "be read on its way. Use https, or key_variable=None (--key-variable '') to send "
                "no key."
            )
        return key


@dataclass
class Meter:
    """What has been asked and used so far."""

    calls: int = 0
    """Requests that were answered, or whose fate is unknown."""
    tokens: int = 0
    retries: int = 0
    values: int = 0
    floored: int = 0
    """Values for which an answer was missing."""
    way: int | None = None
    """Which of a scorer's ways the endpoint has answered to, if there are several."""


def check_installed() -> None:
    """Raises :class:`ApiError` if the ``openai`` package is not installed."""
    if importlib.util.find_spec("openai") is None:
        raise ApiError("endpoints need the openai package: pip install openai")


def _is_this_machine(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")
