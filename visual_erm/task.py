"""Task: a vision-to-code task as read from `configs/task/*.yaml`.

Everything that tells tables from charts from pictures is in that file: the languages a reply may use, how code becomes a
picture, what the judge is asked, how its report is written and how it turns into a reward.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator

from visual_erm.settings import Settings, read_yaml, settings_file, validate

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


class RenderSettings(Settings):
    """How code becomes a picture."""

    renderer: Literal["table"]
    style: Literal["default", "published"] = "default"
    """`published` draws with the published project's CSS: for references that were drawn with it."""
    timeout_s: Positive = 5.0
    """Wall time of one render; over it the code is at fault."""
    max_pixels: Count = 16_000_000
    """Width times height of the finished picture; over it the code is at fault."""


class ImageSettings(Settings):
    """The pictures as the judge sees them."""

    longest_side: Count
    format: Literal["png", "jpeg"]


class Sampling(Settings):
    """How the judge writes its report; a key left out is left to the server."""

    temperature: Annotated[float, Field(ge=0)]
    max_tokens: Count
    top_p: Fraction | None = None
    top_k: int | None = None
    presence_penalty: float | None = None
    repetition_penalty: float | None = None


class JudgePrompt(Settings):
    """What the judge is shown and asked: the reference first, then the prediction, then `prompt`."""

    system: str | None = None
    prompt: Annotated[str, Field(min_length=1)]
    image: ImageSettings
    sampling: Sampling


class ReportFormat(Settings):
    """The wire format of a report. Order matters: the judge was trained to write keys in this order."""

    categories: Annotated[list[str], Field(min_length=1)]
    keys: Annotated[list[str], Field(min_length=1)]
    """Keys of one discrepancy, in wire order; the category is called `category` or `type`."""
    max_discrepancies: Count = 64
    """Bound of the list in the JSON schema: a longer one is cut off by the server, not by the token limit."""
    max_text: Annotated[int, Field(ge=1, le=4000)] = 400
    """Bound of one location or description, in characters."""

    @field_validator("categories", "keys")
    @classmethod
    def _each_once(cls, names: list[str]) -> list[str]:
        if len(set(names)) < len(names):
            raise ValueError("names one of them twice")
        return names

    @field_validator("keys")
    @classmethod
    def _known_keys(cls, keys: list[str]) -> list[str]:
        if sum(key in keys for key in ("category", "type")) != 1:
            raise ValueError("needs exactly one of `category`, `type`")
        unknown = set(keys) - {"category", "type", "severity", "location", "description"}
        if unknown or "severity" not in keys or "description" not in keys:
            raise ValueError("needs `severity` and `description`, may have `location`, and nothing else")
        return keys

    @property
    def category_key(self) -> str:
        return "type" if "type" in self.keys else "category"


class Scoring(Settings):
    """Report -> reward (paper, Eq. 4-5)."""

    mode: Literal["fixed", "raw"]
    """`fixed`: render_reward + clip(1 - S / s_max, 0, 1); `raw`: -S, as the published table recipe."""
    s_max: Positive = 50.0
    """Severity at which nothing is left of the visual part of the reward."""
    render_reward: Annotated[float, Field(ge=0)] = 1.0
    """What drawing anything at all earns (paper: the render-success reward)."""
    raw_minimum: Annotated[float, Field(le=0)] = -50.0
    """`raw` only: what a reply without a picture earns, and the floor of -S, so that drawing never earns less."""


class Task(Settings):
    """One vision-to-code task."""

    name: Annotated[str, Field(min_length=1)]
    languages: Annotated[list[Literal["html", "markdown"]], Field(min_length=1)]
    """Accepted in a reply, in order of preference where one candidate could be read as several."""
    render: RenderSettings
    judge: JudgePrompt
    report: ReportFormat
    scoring: Scoring


def load_task(task: str | Path | Mapping[str, Any]) -> Task:
    """A task by name (`table`), by file, or from an already read mapping (a Hydra node).

    Raises ConfigError that names the file, the key and the nearest valid key or task.
    """
    if isinstance(task, Mapping):
        return validate(Task, task, f"task {task.get('name', '?')}")
    path = settings_file("task", task, "the path of a YAML file")
    return validate(Task, read_yaml(path), str(path))
