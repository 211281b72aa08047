"""`Task`: a vision-to-code task as read from `configs/task/*.yaml`.

A task file names the kind of code (visual_erm/kinds), the languages that a reply may use, how code becomes an image, what
the judge is asked, how its report is written, and how the report becomes a reward.

    task = load_task("chart")
    task.scoring.s_max                                  # 50.0
    load_task("my_task.yaml").kind.name                 # "table"
"""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, InstanceOf, PlainSerializer, create_model, field_validator

from visual_erm.errors import ConfigError
from visual_erm.extract.code import Language
from visual_erm.kinds import SHIPPED, Kind, RenderSettings, find_kind
from visual_erm.spec.base import Count, Fraction, Positive, Settings, plain, read_yaml, settings_file, shipped, validate
from visual_erm.spec.prompts import read_prompt
from visual_erm.spec.servers import Sampling


class ImageSettings(Settings):
    """The images as the judge sees them."""

    longest_side: Count
    """Longest side in pixels; larger images are scaled down."""
    format: Literal["png", "jpeg"]
    """How images are encoded."""
    encoding: Literal["default", "published"] = "default"
    """`default`: scaled with Lanczos, JPEG quality 95. `published`: with Pillow's `thumbnail` (bicubic), quality 75."""


class JudgePrompt(Settings):
    """What the judge is shown and asked: the reference first, then the prediction, then `prompt`.

    A task file may name the text's file instead, as `prompt_file`; a loaded task always holds the text.
    """

    system: str | None = None
    prompt: Annotated[str, Field(min_length=1, description="or `prompt_file`, the path of a text file")]
    placeholder_lines: bool = False
    """Two lines `<image>` stand before the prompt, as in the published reward for tables."""
    image: ImageSettings
    sampling: Sampling


class ReportFormat(Settings):
    """The wire format of a report. Order matters: the judge was trained to write keys in this order."""

    categories: Annotated[list[str], Field(min_length=1)]
    """Types of discrepancies. Another name in a judge's reply counts as the most similar one here, or else as the first."""
    keys: Annotated[list[str], Field(min_length=1)]
    """Keys of one discrepancy, in wire order; the category is called `category` or `type`."""
    severities: Literal["default", "published"] = "default"
    """`default`: 1, 2 or 3; words are read, the nearest of the three stands for another number, and 2 for what is neither.
    `published`: any number from 0, also 2.5; what is no number counts 0."""
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
        """The key that holds the category of a discrepancy: `type` or `category`."""
        return "type" if "type" in self.keys else "category"


class Scoring(Settings):
    """Report -> reward (paper, Eq. 3-5)."""

    mode: Literal["fixed", "relative", "batch", "raw"]
    """`fixed`: render_reward + clip(1 - S / s_max, 0, 1); `relative`: with 3 times the number of the reference's parts for
    s_max; `batch`: with the largest S of the training step for s_max; `raw`: -S, as the published table recipe."""
    s_max: Positive = 50.0
    """Severity at which nothing is left of the visual part of the reward; under `batch`, of tests and of single samples;
    under `relative`, where the reference's parts cannot be counted."""
    batch_cap: Positive | None = 200.0
    """`batch` only: a larger S counts as this one; 64 entries of a report hold at most 192. None: no cap, as in the paper.
    """
    batch_quantile: Annotated[float, Field(gt=0, le=1)] = 1.0
    """`batch` only: share of the step's samples whose S is not over the one that replaces s_max. 1: the largest S."""
    render_reward: Annotated[float, Field(ge=0)] = 1.0
    """What a reply earns whose code renders at all (paper: the render-success reward)."""
    raw_minimum: Annotated[float, Field(le=0)] = -50.0
    """`raw` only: what a reply without an image earns, and the floor of -S, so that rendering never earns less."""


class BlankGuard(Settings):
    """Images that show next to nothing earn the minimum reward."""

    enabled: bool = True
    share: Fraction = 0.001
    """Share of the page that an image must cover with foreground, unless the reference is as sparse."""


class TamperingGuard(Settings):
    """Code that reaches for a file of the machine, or attacks the sandbox, earns the minimum reward."""

    enabled: bool = True
    """false: markup is not searched, and what the sandbox stops is not flagged. Such code has no image all the same."""


class RasterGuard(Settings):
    """Code that holds a picture as pixels: an image in a `data:` address, a mosaic, an array to be shown."""

    enabled: bool = True
    """false: such code is allowed, and not searched for."""
    action: Literal["count", "refuse"] = "count"
    """`count`: the sample is flagged and judged like any other. `refuse`: it is not rendered, and earns the minimum."""


class LegibilityGuard(Settings):
    """Images whose print is too small in what the judge is sent earn the minimum reward. For model judges."""

    enabled: bool = True
    min_print: Fraction = 0.35
    """Height of the print in the image that is sent, as a share of the reference's or of 10 pixels, whichever is less."""


class InjectionGuard(Settings):
    """Text in the image that talks to the judge earns the minimum reward. For model judges."""

    enabled: bool = True
    check_below_severity_share: Fraction = 1.0
    """Share of the scale up to which an image is searched. 1: every image is. Below 1, images with a harsher report are
    not read, which saves time; such an image then earns more than with a kinder report."""


class UnderReportingGuard(Settings):
    """Reports of too little on images that plainly differ: severity is raised to a floor. For model judges."""

    enabled: bool = True
    min_similarity: Annotated[float, Field(gt=0, le=1)] = 0.25
    """Structural similarity (SSIM) below which images plainly differ. From there down to 0, the floor rises to half the
    scale."""


class OmissionGuard(Settings):
    """Parts of the reference that are missing and not in the report raise the severity by 3 each. For model judges."""

    enabled: bool = True
    slack: Fraction = 0.1
    """Share of the parts that may be missing where they can only be estimated (words, marks). Cells are counted exactly."""


class GuardSettings(Settings):
    """Signs of reward hacking, and what makes one."""

    blank: BlankGuard = BlankGuard()
    tampering: TamperingGuard = TamperingGuard()
    raster: RasterGuard = RasterGuard()
    legibility: LegibilityGuard = LegibilityGuard()
    injection: InjectionGuard = InjectionGuard()
    under_reporting: UnderReportingGuard = UnderReportingGuard()
    omission: OmissionGuard = OmissionGuard()


def _as_kind(value: Any) -> Any:
    return find_kind(value) if isinstance(value, str) else value


class Task(Settings):
    """One vision-to-code task. `load_task` makes it: the kind decides which languages and render settings are valid."""

    name: Annotated[str, Field(min_length=1)]
    kind: Annotated[InstanceOf[Kind], BeforeValidator(_as_kind), PlainSerializer(lambda kind: kind.reference)]
    """The kind of code: `table`, `chart`, `svg`, or the path of a Python file that assigns a `Kind` to `KIND`."""
    languages: Annotated[list[str], Field(min_length=1)]
    """Accepted in a reply, in order of preference where one candidate could be read as several."""
    render: RenderSettings
    """How code becomes an image. May be left out where the kind's settings all have defaults."""
    judge: JudgePrompt
    report: ReportFormat
    scoring: Scoring
    guard: GuardSettings = GuardSettings()

    @property
    def code_languages(self) -> tuple[Language, ...]:
        """The accepted languages with their extractors, in order of preference."""
        return self.kind.languages_of(self.languages)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickles the settings as plain data: the class of a task is made for its kind and has no importable name."""
        return load_task, (self.model_dump(),)


@functools.cache
def _task_class(reference: str) -> type[Task]:
    """`Task` with the languages and the render settings of a kind. Raises ConfigError for an unknown kind."""
    kind = find_kind(reference)
    name: Any = Literal[tuple(language.name for language in kind.languages)]
    languages: Any = Annotated[list[name], Field(min_length=1)]
    needed = any(field.is_required() for field in kind.render_settings.model_fields.values())
    render = Field() if needed else Field(default_factory=kind.render_settings)
    return create_model(  # type: ignore[call-overload, no-any-return]
        "Task",
        __base__=Task,
        __module__=__name__,
        languages=(languages, ...),
        render=(kind.render_settings, render),
    )


def load_task(task: str | Path | Mapping[str, Any]) -> Task:
    """Reads one task.

    Args:
        task: Its name (`table`), the path of its YAML file, or its content as a mapping, such as a Hydra node.

    Returns:
        The task.

    Raises:
        ConfigError: Names the file, the key and the nearest valid key or task; for a mixture, its tasks.
    """
    content, source = _read(task)
    if "tasks" in content:
        names = ", ".join(_mixture(content, source))
        raise ConfigError(f"{source} holds several tasks; choose one of {names}")
    return _task(content, source)


def load_tasks(tasks: str | Path | Mapping[str, Any], folders: Iterable[Path] = ()) -> dict[str, Task]:
    """Reads the tasks of a run.

    Args:
        tasks: A mixture of tasks or a single task, as `load_task` takes it.
        folders: Where the files that a mapping names are looked for, before the shipped tasks' folder: `prompt_file`, and
            a kind's module. A mapping does not say where it is from.

    Returns:
        The tasks of a mixture by `data_source`, or the single task by its name.

    Raises:
        ConfigError: As for `load_task`.
    """
    content, source = _read(tasks, folders)
    if "tasks" in content:
        return _mixture(content, source)
    task = _task(content, source)
    return {task.name: task}


def _task(content: Mapping[str, Any], source: str, above: str = "") -> Task:
    """One task. `above` is what stands before its keys in messages."""
    reference = content.get("kind")
    if isinstance(reference, Kind):
        reference = reference.reference
    if reference is None and isinstance(content.get("render"), Mapping) and "renderer" in content["render"]:
        raise ConfigError(f"{source}: unknown key `{above}render.renderer`; it is called `{above}kind` now")
    if reference is None:
        known = ", ".join(sorted(SHIPPED))
        raise ConfigError(f"{source}: missing key `{above}kind`; give one of {known}, or the path of a kind's Python file")
    try:
        model = _task_class(str(reference))
    except ConfigError as error:
        raise ConfigError(f"{source}: {str(error).replace('key `kind`', f'key `{above}kind`')}") from error.__cause__
    return validate(model, content, source, above)


class _Mixture(Settings):
    """Several tasks in one run, told apart by the `data_source` of each row."""

    name: Annotated[str, Field(min_length=1)]
    tasks: Annotated[dict[str, dict[str, Any]], Field(min_length=1)]
    """Each under the `data_source` of its rows."""


def _mixture(content: Mapping[str, Any], source: str) -> dict[str, Task]:
    problems, tasks = [], {}
    for name, part in validate(_Mixture, content, source).tasks.items():
        try:
            tasks[name] = _task(part, source, f"tasks.{name}.")
        except ConfigError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError("\n".join(problems))
    return tasks


def _read(task: str | Path | Mapping[str, Any], folders: Iterable[Path] = ()) -> tuple[dict[str, Any], str]:
    """The content of a task or a mixture with the texts of its prompts, and what to call it in messages."""
    if isinstance(task, Mapping):
        content, source = plain(task), f"task {task.get('name', '?')}"
    else:
        path = settings_file("task", task, "the path of a YAML file")
        content, source, folders = read_yaml(path), str(path), [path.parent]
        if "defaults" in content:
            content = _compose(path)
    _place_files(content, *folders)
    _read_prompts(content, source)
    return content, source


def _parts(content: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """A task, or each task of a mixture, with what stands before its keys."""
    tasks = content.get("tasks")
    parts = {f"tasks.{name}.": part for name, part in tasks.items()} if isinstance(tasks, dict) else {"": content}
    yield from ((above, part) for above, part in parts.items() if isinstance(part, dict))


def _place_files(content: dict[str, Any], *folders: Path) -> None:
    """Makes the path of each `prompt_file` and of each kind's module absolute.

    A file is looked for in `folders`, then in the folder of the shipped tasks, for copies of those.
    """
    for _, task in _parts(content):
        if isinstance(task.get("kind"), str) and task["kind"].endswith(".py"):
            # Without links: a training run reaches its task through a temporary one, which other nodes do not have.
            task["kind"] = str(Path(_placed(task["kind"], *folders)).resolve())
        if isinstance(task.get("judge"), dict) and isinstance(task["judge"].get("prompt_file"), str):
            task["judge"]["prompt_file"] = _placed(task["judge"]["prompt_file"], *folders)


def _placed(file: str, *folders: Path) -> str:
    places = [place.absolute() / Path(file).expanduser() for place in (*folders, shipped("configs") / "task")]
    return str(next((place for place in places if os.access(place, os.F_OK)), places[0]))


def _read_prompts(content: dict[str, Any], source: str) -> None:
    """Puts the text of each `prompt_file` in its place. Raises ConfigError for one that cannot be, or beside a `prompt`."""
    for above, task in _parts(content):
        judge, key = task.get("judge"), f"{above}judge"
        if not isinstance(judge, dict):
            continue
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


def _compose(path: Path) -> dict[str, Any]:
    """What Hydra composes from a file with `defaults`. Other files are found beside it and among the shipped tasks."""
    try:
        from hydra import compose, initialize_config_dir
        from hydra.core.global_hydra import GlobalHydra
        from hydra.errors import HydraException, MissingConfigException
        from omegaconf import OmegaConf
        from omegaconf.errors import OmegaConfBaseException
    except ImportError as error:
        raise ConfigError(
            f"{path}: `defaults` are composed by Hydra, which is missing; fix: pip install hydra-core"
        ) from error
    if path.suffix != ".yaml":
        raise ConfigError(f"{path}: a file with `defaults` must end in .yaml")
    # Inside of a Hydra application: its state is put aside and restored.
    outer = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(path.parent.absolute()), version_base="1.3"):
            composed = compose(path.stem, [f"hydra.searchpath=[file://{shipped('configs') / 'task'}]"])
        content = OmegaConf.to_container(composed, resolve=True)
    except MissingConfigException as error:
        known = ", ".join(sorted(file.stem for file in (shipped("configs") / "task").glob("*.yaml")))
        missing = error.missing_cfg_file
        raise ConfigError(
            f"{path}: `defaults` names {missing!r}: no file beside it, and no task; known: {known}"
        ) from error
    except (HydraException, OmegaConfBaseException, ValueError) as error:
        message = str(error).partition("\nConfig search path:")[0]
        raise ConfigError(f"{path}: {' '.join(message.split())}") from error
    finally:
        GlobalHydra.instance().hydra = outer
    return plain(content)  # type: ignore[no-any-return]
