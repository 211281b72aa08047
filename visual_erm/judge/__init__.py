"""(reference, image) -> Report: judges behind one protocol, and the settings that choose one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

from PIL import Image
from pydantic import Field, model_validator

from visual_erm.report import Report
from visual_erm.settings import Settings, read_yaml, settings_file, validate
from visual_erm.task import Count, Fraction, Positive, Task


class Judge(Protocol):
    """Lists what differs between two pictures. Safe to call concurrently from one event loop; never blocks it."""

    async def judge(self, reference: Image.Image, prediction: Image.Image, task: Task) -> Report:
        """What differs, reference first. Raises JudgeUnavailable or JudgeUnreadable: both ours, never the policy's."""
        ...

    async def close(self) -> None:
        """Ends every process and connection the judge made. May be called twice."""
        ...


class FailurePolicy(Settings):
    """What a sample gets when its judge failed."""

    on_failure: Literal["neutral", "abort"] = "neutral"
    """`neutral`: the running mean severity of the task, flagged `judge_ok=0`; `abort`: the first failure stops the run."""
    window: Count = 256
    """How many recent samples the running mean and the failure share look at."""
    max_failure_share: Fraction = 0.2
    """Share of failed judgements in the window above which the run stops, whatever `on_failure` says."""


class JudgeSettings(Settings):
    """configs/judge/*.yaml."""

    kind: Literal["local", "remote"]
    failure: FailurePolicy = FailurePolicy()

    # kind: remote
    endpoints: tuple[str, ...] = ()
    """Base URLs of OpenAI-compatible servers, for example http://10.0.0.1:8000/v1; the least busy is asked first."""
    model: str = "visual-erm"
    """The name under which the servers serve the judge."""
    api_key_env: str = "VISUAL_ERM_API_KEY"
    """Environment variable that holds the key; unset means none is sent."""
    timeout_s: Positive = 300.0
    """For one request; a request over it is tried again."""
    retries: Annotated[int, Field(ge=0)] = 3
    """Further tries after a failed request, with growing pauses."""
    max_in_flight: Count = 64
    """Requests under way per endpoint; raise it with the servers' --max-num-seqs."""
    structured: bool = True
    """Ask the server to hold the reply to the report's JSON schema; switch off for servers that cannot."""

    # kind: local
    readers: Count = 1
    """OCR workers, one core each."""
    cache_size: Count = 4096
    """Readings kept, one per picture and per cell."""

    @model_validator(mode="after")
    def _remote_has_endpoints(self) -> JudgeSettings:
        if self.kind == "remote" and not self.endpoints:
            raise ValueError("a remote judge needs `endpoints`, for example [http://127.0.0.1:8000/v1]")
        return self


def load_judge_settings(judge: str | Path | Mapping[str, Any]) -> JudgeSettings:
    """Judge settings by name (`local`), by URL of one endpoint, by file, or from a mapping. Raises ConfigError."""
    if isinstance(judge, Mapping):
        return validate(JudgeSettings, judge, "judge")
    if str(judge).startswith(("http://", "https://")):
        return validate(JudgeSettings, {"kind": "remote", "endpoints": [str(judge)]}, "judge")
    path = settings_file("judge", judge, "a URL, or the path of a YAML file")
    return validate(JudgeSettings, read_yaml(path), str(path))


def make_judge(settings: JudgeSettings) -> Judge:
    """The judge that the settings ask for; nothing is started before the first judgement."""
    if settings.kind == "local":
        from visual_erm.judge.local import LocalJudge

        return LocalJudge(settings)
    from visual_erm.judge.remote import RemoteJudge

    return RemoteJudge(settings)
