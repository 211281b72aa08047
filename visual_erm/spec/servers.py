"""Settings of OpenAI-compatible servers: where they are, the model they serve, the key, and how patiently they are asked.

A judge (judge.py) and a policy (policy.py) behind servers are described by them; `visual_erm.judge.chat.Chat` asks the
servers.

    settings = validate(PolicySettings, {"endpoints": ["http://10.0.0.1:8000/v1"]}, "policy")
    key = api_key(settings)
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, ClassVar

from pydantic import Field, model_validator

from visual_erm.spec.base import Count, Fraction, Positive, Settings
from visual_erm.spec.keys import key_of_file, key_of_variable

VLLM_FIELDS = frozenset({"top_k", "repetition_penalty"})
"""Sampling that is no part of OpenAI's protocol."""
BY_HAND_S = 20.0
"""Seconds that somebody who gives a URL by hand waits for a server that does not answer."""


class Sampling(Settings):
    """How a model writes; a key left out is left to the server."""

    temperature: Annotated[float, Field(ge=0)]
    max_tokens: Count
    top_p: Fraction | None = None
    top_k: int | None = None
    presence_penalty: float | None = None
    repetition_penalty: float | None = None


class ServerSettings(Settings):
    """Servers of one model."""

    role: ClassVar[str] = "server"
    """What the model is for: the group of its keys, and its name in messages."""

    endpoints: tuple[str, ...] = Field(default=(), repr=False)
    """Base URLs of OpenAI-compatible servers, for example http://10.0.0.1:8000/v1; the least busy is asked first. One may
    hold a user and a password, which are sent in place of the key."""
    endpoints_file: str | None = None
    """In place of `endpoints`: a file with one of them a line, as `visual-erm serve` writes it, or a folder of such, one of
    each machine that serves. Read again when it changes: servers can join and leave during a run."""
    model: str | None = None
    """The name under which the servers serve the model; null: the one that they serve."""
    api_key_env: str = "VISUAL_ERM_API_KEY"
    """Environment variable that holds the key; unset means none is sent."""
    api_key_file: str | None = None
    """File that holds the key, in place of the environment variable."""
    timeout_s: Positive = 300.0
    """Longest time of one request, in seconds. A request over it is tried again at another endpoint."""
    retries: Annotated[int, Field(ge=0)] = 3
    """Further tries of a sample whose request failed at an endpoint that worked until then."""
    unavailable_timeout_s: Positive = 300.0
    """Seconds that samples wait while no endpoint works, for example for servers that restart."""
    max_in_flight: Count = 64
    """Requests under way per endpoint and process; raise it with the servers' --max-num-seqs."""
    hedge: bool = False
    """Ask a second endpoint too once a request takes longer than 95% of the recent ones, where one has room: for servers
    with time to spare."""
    structured: bool = True
    """Ask the server to hold the reply to a JSON schema, where one is read; switch off for servers that cannot."""
    vllm_fields: bool = True
    """Send the sampling that only vLLM takes (VLLM_FIELDS); switch off for hosted APIs that refuse unknown fields."""

    @model_validator(mode="after")
    def _endpoints_come_from_one_place(self) -> ServerSettings:
        if self.endpoints and self.endpoints_file:
            raise ValueError("give `endpoints` or `endpoints_file`, not both")
        return self


def api_key(settings: ServerSettings) -> str:
    """Reads the servers' key.

    Args:
        settings: The settings, which name an environment variable or a file.

    Returns:
        The key; empty where there is none.

    Raises:
        ConfigError: The key file cannot be read or is empty, or no HTTP header takes the key. The message does not show the
            key.
    """
    if settings.api_key_file:
        file = Path(settings.api_key_file).expanduser()
        return key_of_file(file, f"{settings.role}.api_key_file: {settings.api_key_file}")
    name = settings.api_key_env
    return key_of_variable(name, os.environ, f"{settings.role}.api_key_env: the variable {name}")
