"""Settings of a judge: which one reads the images, where its servers are, and what happens when it fails.

Validated from configs/judge/*.yaml and the command line; `visual_erm.judge.base.make_judge` makes the judge from them.

    settings = load_judge_settings("http://10.0.0.1:8000/v1")
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from visual_erm.errors import ConfigError
from visual_erm.spec.base import Count, Fraction, Positive, Settings, read_yaml, settings_file, validate
from visual_erm.spec.keys import key_of_file, key_of_variable

VLLM_FIELDS = frozenset({"top_k", "repetition_penalty"})
"""Sampling that is no part of OpenAI's protocol."""
BY_HAND_S = 20.0
"""Seconds that somebody who gives a URL by hand waits for a server that does not answer."""


class FailurePolicy(Settings):
    """What a sample gets when its judge failed."""

    on_failure: Literal["neutral", "abort"] = "neutral"
    """`neutral`: the running mean severity of the task, flagged `scored_ok=0`; `abort`: the first failure stops the run."""
    window: Count = 256
    """How many recent samples the running mean and the failure share look at."""
    max_failure_share: Fraction = 0.2
    """Share of failed judgements in the window above which the run stops, whatever `on_failure` says."""


class ReuseSettings(Settings):
    """Calls that need not be made; switch one off to measure what it changes."""

    identical: bool = True
    """An image equal to its reference in every pixel has no discrepancy."""
    shared: bool = True
    """Equal pairs that are judged at the same time share one call; a group often repeats itself."""
    cache: bool = True
    """Pairs that were judged before are not judged again, for the same task, prompt, sampling, report format and
    checkpoint."""
    cache_size: Count = 20000
    """Reports kept, 1 kB each, in memory and on disk; the oldest go first."""
    cache_dir: str | None = None
    """Folder on a local disk where reports outlive the run; null: memory only."""


class JudgeSettings(Settings):
    """A judge, as configs/judge/*.yaml describe it."""

    kind: Literal["local", "remote", "colocated"]
    """`colocated`: veRL runs the reward model itself, and tells the reward function its address."""
    failure: FailurePolicy = FailurePolicy()

    # kind: remote, colocated
    endpoints: tuple[str, ...] = Field(default=(), repr=False)
    """Base URLs of OpenAI-compatible servers, for example http://10.0.0.1:8000/v1; the least busy is asked first. One may
    hold a user and a password, which are sent in place of the key."""
    endpoints_file: str | None = None
    """In place of `endpoints`: a file with one of them a line, as `visual-erm serve` writes it, or a folder of such, one of
    each machine that serves. Read again when it changes: servers can join and leave during a run."""
    model: str = "visual-erm"
    """The name under which the servers serve the judge."""
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
    """Requests under way per endpoint and reward worker; raise it with the servers' --max-num-seqs."""
    hedge: bool = False
    """Ask a second endpoint too once a request takes longer than 95% of the recent ones, where one has room: for servers
    with time to spare."""
    reuse: ReuseSettings = ReuseSettings()
    metrics_port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """Serve counts and times to Prometheus there; workers on one node take the next free ports."""
    metrics_host: str = "127.0.0.1"
    """Address that Prometheus reads from; the default lets in this machine only."""
    structured: bool = True
    """Ask the server to hold the reply to the report's JSON schema; switch off for servers that cannot."""

    vllm_fields: bool = True
    """Send the sampling that only vLLM takes (VLLM_FIELDS); switch off for hosted APIs that refuse unknown fields."""

    # kind: local
    ocr_workers: Count = 1
    """OCR workers, one core each."""
    cache_size: Count = 4096
    """Readings kept, one per image and per cell."""

    @model_validator(mode="after")
    def _remote_has_endpoints(self) -> JudgeSettings:
        if self.kind == "remote" and not self.endpoints and not self.endpoints_file:
            raise ValueError("needs `endpoints`, like [http://127.0.0.1:8000/v1], or `endpoints_file`")
        if self.endpoints and self.endpoints_file:
            raise ValueError("give `endpoints` or `endpoints_file`, not both")
        return self


def load_judge_settings(judge: str | Path | Mapping[str, Any]) -> JudgeSettings:
    """Loads the settings of a judge.

    Args:
        judge: A name (`local`, `remote`), the URL of one endpoint, the path of a YAML file, or the settings as a mapping.

    Returns:
        The settings.

    Raises:
        ConfigError: The settings are not found, or one of them is wrong.
    """
    if judge == "colocated":
        raise ConfigError("judge=colocated is for training, where veRL runs the reward model; give the URL of a server")
    if isinstance(judge, Mapping):
        return validate(JudgeSettings, judge, "judge")
    if str(judge).startswith(("http://", "https://")):
        return validate(
            JudgeSettings, {"kind": "remote", "endpoints": [str(judge)], "unavailable_timeout_s": BY_HAND_S}, "judge"
        )
    path = settings_file("judge", judge, "a URL, or the path of a YAML file")
    return validate(JudgeSettings, read_yaml(path), str(path))


def api_key(settings: JudgeSettings) -> str:
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
        return key_of_file(file, f"judge.api_key_file: {settings.api_key_file}")
    name = settings.api_key_env
    return key_of_variable(name, os.environ, f"judge.api_key_env: the variable {name}")
