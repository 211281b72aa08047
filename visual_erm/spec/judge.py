"""Settings of a judge: which one reads the images, where its servers are, and what happens when it fails.

Validated from configs/judge/*.yaml and the command line; `visual_erm.judge.base.make_judge` makes the judge from them.

    settings = load_judge_settings("http://10.0.0.1:8000/v1")
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from visual_erm.errors import ConfigError
from visual_erm.spec.base import Count, Fraction, Settings, read_yaml, settings_file, validate
from visual_erm.spec.servers import BY_HAND_S, ServerSettings

IN_PROCESS = "transformers:"
"""Stands before the folder of a model that judges in this process."""


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


class JudgeSettings(ServerSettings):
    """A judge, as configs/judge/*.yaml describe it."""

    role: ClassVar[str] = "judge"

    kind: Literal["local", "remote", "colocated", "transformers"]
    """`colocated`: veRL runs the reward model itself, and tells the reward function its address. `transformers`: the model
    runs in this process; for the bench and for single pairs, not for training."""
    failure: FailurePolicy = FailurePolicy()

    # kind: remote, colocated, transformers
    model: str | None = "visual-erm"
    """The name under which the servers serve the judge; under `kind: transformers`, the folder of the model."""
    reuse: ReuseSettings = ReuseSettings()
    metrics_port: Annotated[int, Field(ge=1, le=65535)] | None = None
    """Serve counts and times to Prometheus there; workers on one node take the next free ports."""
    metrics_host: str = "127.0.0.1"
    """Address that Prometheus reads from; the default lets in this machine only."""

    # kind: local
    ocr_workers: Count = 1
    """OCR workers, one core each."""
    cache_size: Count = 4096
    """Readings kept, one per image and per cell."""

    @model_validator(mode="after")
    def _remote_has_endpoints(self) -> JudgeSettings:
        if self.kind == "remote" and not self.endpoints and not self.endpoints_file:
            raise ValueError("needs `endpoints`, like [http://127.0.0.1:8000/v1], or `endpoints_file`")
        return self


def load_judge_settings(judge: str | Path | Mapping[str, Any]) -> JudgeSettings:
    """Loads the settings of a judge.

    Args:
        judge: A name (`local`, `remote`), the URL of one endpoint, `transformers:` and the folder of a model, the path of a
            YAML file, or the settings as a mapping.

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
    if str(judge).startswith(IN_PROCESS):
        return validate(JudgeSettings, {"kind": "transformers", "model": str(judge).removeprefix(IN_PROCESS)}, "judge")
    path = settings_file("judge", judge, "a URL, or the path of a YAML file")
    return validate(JudgeSettings, read_yaml(path), str(path))
