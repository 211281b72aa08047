"""Strict settings: one reader for YAML files, Hydra nodes and command-line values.

Task files and judge settings are read here, so that a misspelt key is found by the same message wherever it stands. A key
that had another name once is told with its new name (`RENAMED`), and one that is gone with what to do (`REMOVED`).

    class Color(Settings):
        red: int = 0

    validate(Color, {"rde": 3}, "my.yaml")    # ConfigError: my.yaml: unknown key `rde`; did you mean `red`?
"""

from __future__ import annotations

import datetime
import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from visual_erm.errors import ConfigError

PACKAGE = Path(__file__).resolve().parents[1]
"""Folder of the package `visual_erm`."""

Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
Count = Annotated[int, Field(ge=1)]

RENAMED = {
    "render.renderer": "kind",
    "render.allow_engine_mismatch": "render.allow_renderer_mismatch",
    "guard.silence": "guard.under_reporting",
    "guard.under_reporting.likeness": "guard.under_reporting.min_similarity",
    "guard.injection.kind": "guard.injection.check_below_severity_share",
    "savings": "reuse",
    "patience_s": "unavailable_timeout_s",
    "readers": "ocr_workers",
    "reward_kwargs.journal": "reward_kwargs.rollout_log",
    "sampler_kwargs.max_lost": "sampler_kwargs.max_lost_rollouts",
    "sampler_kwargs.stall_s": "sampler_kwargs.stall_timeout_s",
    "sampler_kwargs.fatal": "sampler_kwargs.abort_file",
}
"""Old key -> the key that took its place. Both are the last parts of a whole key, like `guard.silence` in
`task.tasks.chart.guard.silence.enabled`."""

_FLOOR = "leave it out: the floor holds whatever the report says"
REMOVED = {
    "guard.under_reporting.max_severity": _FLOOR,
    "guard.under_reporting.at_most": _FLOOR,
    "guard.silence.at_most": _FLOOR,
}
"""Old key that nothing took the place of -> what to do about it. Written as in `RENAMED`."""


class Settings(BaseModel):
    """Base of every settings class: frozen; an unknown key, an infinity or a NaN is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


S = TypeVar("S", bound=Settings)


def shipped(folder: str) -> Path:
    """The path of a top-level folder of the project, in a checkout and in an installed wheel.

    Args:
        folder: Name of the folder, for example `configs` or `reward_func`.

    Returns:
        Its path.
    """
    inside = PACKAGE / folder
    return inside if inside.is_dir() else PACKAGE.parent / folder


def settings_file(group: str, name: str | Path, else_give: str) -> Path:
    """The YAML file that a name means.

    Args:
        group: Folder in `configs/`, for example `task`.
        name: Path of a YAML file, or the name of a file in `configs/<group>` without its suffix.
        else_give: What may be given in place of a name, for the error message.

    Returns:
        The path. One that was given is not checked.

    Raises:
        ConfigError: There is no file of this name; the message lists the names.
    """
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        return path
    folder = shipped("configs") / group
    path = folder / f"{name}.yaml"
    if not path.is_file():
        names = ", ".join(sorted(p.stem for p in folder.glob("*.yaml")))
        raise ConfigError(f"no {group} `{name}`; known: {names}; or give {else_give}")
    return path


def plain(value: Any) -> Any:
    """Turns Hydra's containers into plain ones.

    Args:
        value: A mapping, a sequence or a scalar.

    Returns:
        The same as dicts, lists and scalars.
    """
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [plain(v) for v in value]
    return value


def read_yaml(path: Path) -> dict[str, Any]:
    """Reads a YAML file that holds one mapping.

    Args:
        path: The file, UTF-8.

    Returns:
        The mapping.

    Raises:
        ConfigError: The file cannot be read, is not valid YAML (with line and column), or holds no mapping.
    """
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}: not valid YAML: {' '.join(str(error).split())}") from error
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{path}: not readable as UTF-8 YAML: {error}") from error
    if not isinstance(content, dict):
        raise ConfigError(f"{path}: expected a mapping of settings, found {type(content).__name__}")
    return content


def validate(model: type[S], content: Any, source: str, above: str = "") -> S:
    """Checks settings against their class.

    Args:
        model: The class of the settings.
        content: The settings as read: a mapping of any type.
        source: Where they were read, for messages: a file, or a name.
        above: What stands before each key in messages, with the dot, for settings inside of other settings.

    Returns:
        The settings.

    Raises:
        ConfigError: Lists every problem with source, key and the nearest valid key.
    """
    try:
        return model.model_validate(plain(content))
    except ValidationError as error:
        lines = [_explain(model, problem, above) for problem in error.errors()]
        raise ConfigError("\n".join(f"{source}: {line}" for line in lines)) from None
    except RecursionError:
        raise ConfigError(f"{source}: a part of it holds itself, or it is nested too deeply") from None


def misread_as(value: object) -> str:
    """Says as what YAML has read a value that should be text.

    Args:
        value: The value.

    Returns:
        The kind of value; empty for text and for what nobody writes as text.

    >>> misread_as(yaml.safe_load("1_000")), misread_as(yaml.safe_load("off")), misread_as("off")
    ('number', 'truth value', '')
    """
    if isinstance(value, bool):
        return "truth value"
    if isinstance(value, int | float):
        return "number"
    return "date" if isinstance(value, datetime.date) else ""


def renamed(key: str) -> str:
    """The key that took the place of an old one.

    Args:
        key: A whole key, like `task.guard.silence.likeness`.

    Returns:
        The new key, like `task.guard.under_reporting.min_similarity`; empty for a key that was not renamed.

    >>> renamed("task.guard.silence.likeness")
    'task.guard.under_reporting.min_similarity'
    """
    new = f".{key}."
    for old, name in RENAMED.items():
        new = new.replace(f".{old}.", f".{name}.")
    return new.strip(".") if new.strip(".") != key else ""


def removed(key: str) -> str:
    """What to do about an old key that nothing took the place of.

    Args:
        key: A whole key, like `task.guard.under_reporting.max_severity`.

    Returns:
        The advice; empty for a key that was not removed.

    >>> removed("task.guard.under_reporting.at_most")
    'leave it out: the floor holds whatever the report says'
    """
    return next((advice for old, advice in REMOVED.items() if f".{key}".endswith(f".{old}")), "")


def _explain(model: type[Settings], problem: Any, above: str = "") -> str:
    unknown = problem["type"] == "extra_forbidden"
    keys, found = _locate(model, problem["loc"][:-1] if unknown else problem["loc"])
    if above:
        keys = [*above.strip(".").split("."), *keys]
    key = ".".join(keys)
    if unknown:
        wrong, known = str(problem["loc"][-1]), list(found.model_fields) if found else []
        if advice := removed(".".join([*keys, wrong])):
            return f"unknown key `{'.'.join([*keys, wrong])}`; {advice}"
        if new := renamed(".".join([*keys, wrong])):
            return f"unknown key `{'.'.join([*keys, wrong])}`; it is called `{new}` now"
        near = difflib.get_close_matches(wrong, known, 1)
        hint = f"did you mean `{near[0]}`?" if near else f"valid keys: {', '.join(sorted(known))}"
        return f"unknown key `{'.'.join([*keys, wrong])}`; {hint}"
    if problem["type"] == "missing":
        _, parent = _locate(model, problem["loc"][:-1])
        field = parent.model_fields.get(keys[-1]) if parent else None
        return f"missing key `{key}`" + (f", {field.description}" if field and field.description else "")
    if problem["type"].startswith("union_tag"):
        here = keys[len(above.strip(".").split(".")) :] if above else keys
        kind, kinds = problem["ctx"]["discriminator"].strip("'"), ", ".join(sorted(_kinds_at(model, here)))
        if problem["type"] == "union_tag_not_found":
            return f"missing key `{key}.{kind}`; give one of {kinds}"
        return f"key `{key}.{kind}`: must be one of {kinds} (got {problem['ctx']['tag']!r})"
    if problem["type"] == "string_type" and (kind := misread_as(problem["input"])):
        return f"key `{key}`: must be text, but YAML reads it as the {kind} {problem['input']}; put it in quotes"
    message = problem["msg"].removeprefix("Value error, ")
    return f"key `{key}`: {message} (got {problem['input']!r})" if key else message


def _locate(model: type[BaseModel], loc: Sequence[int | str]) -> tuple[list[str], type[BaseModel] | None]:
    """The keys that a user would write to get to `loc`, and the settings there, if it is a place for settings.

    Pydantic's own path also names which kind of settings it took where there is a choice; no key stands for that.
    """
    keys: list[str] = []
    found: type[BaseModel] | None = model
    parts = iter(map(str, loc))
    for part in parts:
        keys.append(part)
        field = found.model_fields.get(part) if found else None
        kinds = _nested(field.annotation) if field else []
        if field and field.discriminator and (chosen := next(parts, None)):
            kinds = [kind for kind in kinds if chosen in get_args(kind.model_fields[str(field.discriminator)].annotation)]
        elif field and get_origin(field.annotation) is dict and (name := next(parts, None)):
            keys.append(name)
        found = kinds[0] if kinds else None
    return keys, found


def _kinds_at(model: type[BaseModel], keys: Sequence[str]) -> list[str]:
    """The valid values of the discriminator of the union under `keys`."""
    _, parent = _locate(model, keys[:-1])
    field = parent.model_fields[keys[-1]] if parent else None
    kinds = _nested(field.annotation) if field else []
    return [name for kind in kinds if field for name in get_args(kind.model_fields[str(field.discriminator)].annotation)]


def _nested(annotation: Any) -> list[type[BaseModel]]:
    return [kind for kind in (annotation, *get_args(annotation)) if isinstance(kind, type) and issubclass(kind, BaseModel)]
