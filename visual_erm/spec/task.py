"""Task: a vision-to-code task as read from `configs/task/*.yaml`.

Everything that tells tables from charts from images is in that file: the languages a reply may use, how code becomes a
image, what the judge is asked, how its report is written and how it turns into a reward.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from PIL import ImageColor
from pydantic import Field, field_validator

from visual_erm.errors import ConfigError
from visual_erm.spec.base import Settings, plain, read_yaml, settings_file, shipped, validate
from visual_erm.spec.prompts import read_prompt

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]


Layer = Literal["bubblewrap", "landlock", "seccomp", "rlimits"]
Guarantee = Literal["network", "files", "processes", "memory", "time"]


class SandboxSettings(Settings):
    """The walls round code that a model wrote. Its empty environment and its wall-clock limit cannot be switched off."""

    layers: tuple[Layer, ...] = ("bubblewrap", "landlock", "seccomp", "rlimits")
    """Put up where the machine allows them; take one out to look for the cause of a trouble."""
    require: tuple[Guarantee, ...] = ("network", "files", "processes", "memory", "time")
    """What must be certain before anything is drawn: no network, no file beyond the allowed ones, no new process, limits of
    memory and of time. Take one out only where the machine itself is a sandbox."""
    memory_mb: Count = 1024
    """What one drawing may allocate beyond the libraries; over it the code is at fault."""
    disk_mb: Count = 64
    """What one drawing may write to its own temporary folder."""


class TableSettings(Settings):
    """How a table becomes a image."""

    renderer: Literal["table"]
    style: Literal["default", "published"] = "default"
    """`published` draws with the published project's CSS: for references that were drawn with it."""
    timeout_s: Positive = 5.0
    """Wall time of one render; over it the code is at fault."""
    max_pixels: Count = 16_000_000
    """Width times height of the finished image; over it the code is at fault."""
    allow_engine_mismatch: bool = False
    """Compare with references that another engine, or another version of it, drew."""


class ChartSettings(Settings):
    """How a Python script becomes a image."""

    renderer: Literal["chart"]
    timeout_s: Positive = 15.0
    """CPU time of one script, and wall time on a machine that is not overloaded; over it the code is at fault."""
    dpi: Count = 100
    """Of a figure that the script does not save with a resolution of its own."""
    max_pixels: Count = 16_000_000
    """Width times height of the finished image; over it the code is at fault."""
    sandbox: SandboxSettings = SandboxSettings()
    allow_engine_mismatch: bool = False
    """Compare with references that another engine, or another version of it, drew."""


class SvgSettings(Settings):
    """How an SVG document becomes a image."""

    renderer: Literal["svg"]
    backend: Literal["librsvg", "cairosvg"] = "librsvg"
    """`cairosvg` for references that were drawn with it, as the published ones were; `librsvg` draws more, and faster."""
    width: Count = 336
    height: Count = 336
    """Size of every image in pixels, whatever the document says of its own."""
    background: str = "white"
    """What shows through where the document is transparent: a color as CSS names it."""
    timeout_s: Positive = 10.0
    """CPU time of one image, and wall time on a machine that is not overloaded; over it the code is at fault."""
    sandbox: SandboxSettings = SandboxSettings()
    allow_engine_mismatch: bool = False
    """Compare with references that another engine, or another version of it, drew."""

    @field_validator("background")
    @classmethod
    def _a_color(cls, name: str) -> str:
        ImageColor.getrgb(name)
        return name


RenderSettings = Annotated[TableSettings | ChartSettings | SvgSettings, Field(discriminator="renderer")]
"""How code becomes a image; `renderer` says of which kind."""


class ImageSettings(Settings):
    """The images as the judge sees them."""

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
    """What the judge is shown and asked: the reference first, then the prediction, then `prompt`.

    A task file may name the text's file instead, as `prompt_file`; a loaded task always holds the text.
    """

    system: str | None = None
    prompt: Annotated[str, Field(min_length=1, description="or `prompt_file`, the path of a text file")]
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
    """Report -> reward (paper, Eq. 3-5)."""

    mode: Literal["fixed", "batch", "raw"]
    """`fixed`: render_reward + clip(1 - S / s_max, 0, 1); `batch`: with the largest S of the training step for s_max;
    `raw`: -S, as the published table recipe."""
    s_max: Positive = 50.0
    """Severity at which nothing is left of the visual part of the reward; under `batch`, of tests and of single samples."""
    render_reward: Annotated[float, Field(ge=0)] = 1.0
    """What drawing anything at all earns (paper: the render-success reward)."""
    raw_minimum: Annotated[float, Field(le=0)] = -50.0
    """`raw` only: what a reply without a image earns, and the floor of -S, so that drawing never earns less."""


class BlankGuard(Settings):
    """Images that show next to nothing: the minimum reward."""

    enabled: bool = True
    share: Fraction = 0.001
    """Of the page that a image must cover with ink, unless the reference is as sparse."""


class TamperingGuard(Settings):
    """Code that goes for a file of the machine, or for the sandbox: the minimum reward."""

    enabled: bool = True
    """false: markup is not searched, and what the sandbox stops is not flagged; it has no image all the same."""


class InjectionGuard(Settings):
    """Text in the image that talks to the judge: the minimum reward. For judges that are models."""

    enabled: bool = True
    kind: Fraction = 0.5
    """Share of the worst severity up to which a report is looked into, as reading takes a second: after a harsh one the
    judge was not talked round."""


class UnderReportingGuard(Settings):
    """Reports of nothing on images that plainly differ: severity is raised. For judges that are models."""

    enabled: bool = True
    at_most: Annotated[float, Field(ge=0)] = 3
    """Severity up to which a report says next to nothing."""
    likeness: Annotated[float, Field(gt=0, le=1)] = 0.25
    """Structural similarity below which images plainly differ; from there down to 0, severity rises to half the worst."""


class OmissionGuard(Settings):
    """Parts of the reference that are absent, and not in the report: severity is raised by 3 each. For judges that are
    models."""

    enabled: bool = True
    slack: Fraction = 0.1
    """Share of the parts that may be absent where they can only be estimated (words, marks); cells are counted exactly."""


class GuardSettings(Settings):
    """Signs of reward hacking, and what makes one."""

    blank: BlankGuard = BlankGuard()
    tampering: TamperingGuard = TamperingGuard()
    injection: InjectionGuard = InjectionGuard()
    silence: UnderReportingGuard = UnderReportingGuard()
    omission: OmissionGuard = OmissionGuard()


class Task(Settings):
    """One vision-to-code task."""

    name: Annotated[str, Field(min_length=1)]
    languages: Annotated[list[Literal["html", "markdown", "python", "svg"]], Field(min_length=1)]
    """Accepted in a reply, in order of preference where one candidate could be read as several."""
    render: RenderSettings
    judge: JudgePrompt
    report: ReportFormat
    scoring: Scoring
    guard: GuardSettings = GuardSettings()


class Mixture(Settings):
    """Several tasks in one run, told apart by the `data_source` of each row."""

    name: Annotated[str, Field(min_length=1)]
    tasks: Annotated[dict[str, Task], Field(min_length=1)]
    """Each under the `data_source` of its rows."""


def load_task(task: str | Path | Mapping[str, Any]) -> Task:
    """A task by name (`table`), by file, or from an already read mapping (a Hydra node).

    Raises ConfigError that names the file, the key and the nearest valid key or task; for a mixture, its tasks.
    """
    content, source = _read(task)
    if "tasks" in content:
        names = ", ".join(validate(Mixture, content, source).tasks)
        raise ConfigError(f"{source} holds several tasks; choose one of {names}")
    return validate(Task, content, source)


def load_tasks(tasks: str | Path | Mapping[str, Any], folders: Iterable[Path] = ()) -> dict[str, Task]:
    """The tasks of a mixture by `data_source`, or a single task by its name. Raises ConfigError as `load_task` does.

    A mapping does not say where it is from: its prompts' files are looked for in `folders`, then with the shipped tasks.
    """
    content, source = _read(tasks, folders)
    if "tasks" in content:
        return validate(Mixture, content, source).tasks
    task = validate(Task, content, source)
    return {task.name: task}


def _read(task: str | Path | Mapping[str, Any], folders: Iterable[Path] = ()) -> tuple[dict[str, Any], str]:
    """The content of a task or a mixture with the texts of its prompts, and what to call it in messages."""
    if isinstance(task, Mapping):
        content, source = plain(task), f"task {task.get('name', '?')}"
        _place_prompts(content, *folders)
    else:
        path = settings_file("task", task, "the path of a YAML file")
        content, source = _compose(path, _read_file(path)), str(path)
    _read_prompts(content, source)
    return content, source


def _read_file(path: Path) -> dict[str, Any]:
    content = read_yaml(path)
    _place_prompts(content, path.parent)
    return content


def _judges(content: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """The `judge` of a task, or of each task of a mixture, with its key."""
    tasks = content.get("tasks")
    parts = {f"tasks.{name}.": part for name, part in tasks.items()} if isinstance(tasks, dict) else {"": content}
    for key, part in parts.items():
        if isinstance(part, dict) and isinstance(part.get("judge"), dict):
            yield f"{key}judge", part["judge"]


def _place_prompts(content: dict[str, Any], *folders: Path) -> None:
    """Makes each `prompt_file` absolute: it is in `folders`, or, as for copies of shipped tasks, with the shipped ones."""
    for _, judge in _judges(content):
        if isinstance(judge.get("prompt_file"), str):
            places = [place.absolute() / judge["prompt_file"] for place in (*folders, shipped("configs") / "task")]
            judge["prompt_file"] = str(next((place for place in places if os.access(place, os.F_OK)), places[0]))


def _read_prompts(content: dict[str, Any], source: str) -> None:
    """Puts the text of each `prompt_file` in its place. Raises ConfigError for one that cannot be, or beside a `prompt`."""
    for key, judge in _judges(content):
        text, file = judge.pop("prompt", None), judge.pop("prompt_file", None)
        if text is not None and file is not None:
            raise ConfigError(f"{source}: `{key}.prompt` and `{key}.prompt_file` are both given; set one of them to null")
        if file is not None:
            text = _prompt(file, f"{source}: key `{key}.prompt_file`")
        if text is not None:
            judge["prompt"] = text


def _prompt(file: Any, key: str) -> str:
    if not isinstance(file, str):
        raise ConfigError(f"{key}: must be the path of a text file (got {file!r})")
    try:
        return read_prompt(Path(file))
    except ConfigError as error:
        raise ConfigError(f"{key}: {error}") from None


_PART = re.compile(r"(\w[\w.-]*)@tasks\.([\w-]+)")


def _compose(path: Path, content: dict[str, Any]) -> dict[str, Any]:
    """What Hydra makes of a mixture's `defaults`: the tasks that they name, and over them what the file itself says."""
    defaults, tasks = content.pop("defaults", []), {}
    for entry in defaults if isinstance(defaults, list) else [defaults]:
        part = _PART.fullmatch(str(entry))
        if part:
            beside = path.with_name(f"{part[1]}.yaml")
            found = settings_file("task", beside if beside.is_file() else part[1], "a file beside this one")
            tasks[part[2]] = _read_file(found)
        elif entry != "_self_":
            raise ConfigError(f"{path}: `defaults` holds {entry!r}; write TASK@tasks.DATA_SOURCE, and _self_ last")
    return _merge({"tasks": tasks}, content) if tasks else content


def _merge(below: dict[str, Any], above: dict[str, Any]) -> dict[str, Any]:
    """`below` with the values of `above`, mapping by mapping."""
    both = {
        key: _merge(below[key], above[key])
        for key in below
        if isinstance(below[key], dict) and isinstance(above.get(key), dict)
    }
    return {**below, **above, **both}
