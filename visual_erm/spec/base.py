"""Strict settings: one reader for YAML files, Hydra nodes and command-line values.

Task files and judge settings are read here, so that a misspelt key is found by the same message wherever it stands.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from visual_erm.errors import ConfigError

PACKAGE = Path(__file__).resolve().parents[1]


class Settings(BaseModel):
    """Base of every settings class: frozen; an unknown key, an infinity or a NaN is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


S = TypeVar("S", bound=Settings)


def shipped(folder: str) -> Path:
    """Path of a top-level folder of the project (`configs`, `reward_func` …), in a checkout and in an installed wheel."""
    inside = PACKAGE / folder
    return inside if inside.is_dir() else PACKAGE.parent / folder


def settings_file(group: str, name: str | Path, else_give: str) -> Path:
    """The YAML file that `name` means: a path, or a name in `configs/<group>`. Raises ConfigError with the names."""
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
    """The same value as plain dicts, lists and scalars (Hydra hands over its own containers)."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str | bytes):
        return [plain(v) for v in value]
    return value


def read_yaml(path: Path) -> dict[str, Any]:
    """A YAML file that holds one mapping. Raises ConfigError, with line and column where YAML itself is broken."""
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


def validate(model: type[S], content: Any, source: str) -> S:
    """`content` as a `model`. Raises ConfigError that lists every problem with source, key and nearest valid key."""
    try:
        return model.model_validate(plain(content))
    except ValidationError as error:
        lines = [_explain(model, problem) for problem in error.errors()]
        raise ConfigError("\n".join(f"{source}: {line}" for line in lines)) from None
    except RecursionError:
        raise ConfigError(f"{source}: a part of it holds itself, or it is nested too deeply") from None


def _explain(model: type[Settings], problem: Any) -> str:
    unknown = problem["type"] == "extra_forbidden"
    keys, found = _locate(model, problem["loc"][:-1] if unknown else problem["loc"])
    key = ".".join(keys)
    if unknown:
        wrong, known = str(problem["loc"][-1]), list(found.model_fields) if found else []
        near = difflib.get_close_matches(wrong, known, 1)
        hint = f"did you mean `{near[0]}`?" if near else f"valid keys: {', '.join(sorted(known))}"
        return f"unknown key `{'.'.join([*keys, wrong])}`; {hint}"
    if problem["type"] == "missing":
        _, parent = _locate(model, problem["loc"][:-1])
        field = parent.model_fields.get(keys[-1]) if parent else None
        return f"missing key `{key}`" + (f", {field.description}" if field and field.description else "")
    if problem["type"].startswith("union_tag"):
        kind, kinds = problem["ctx"]["discriminator"].strip("'"), ", ".join(sorted(_kinds_at(model, keys)))
        if problem["type"] == "union_tag_not_found":
            return f"missing key `{key}.{kind}`; give one of {kinds}"
        return f"key `{key}.{kind}`: must be one of {kinds} (got {problem['ctx']['tag']!r})"
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
