"""Strict settings: one reader for YAML files, Hydra nodes and command-line values.

Task files and judge settings are read here, so that a misspelt key is found by the same message wherever it stands.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from visual_erm.errors import ConfigError

HERE = Path(__file__).resolve().parent


class Settings(BaseModel):
    """Base of every settings class: frozen; an unknown key, an infinity or a NaN is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


S = TypeVar("S", bound=Settings)


def shipped(folder: str) -> Path:
    """Path of a top-level folder of the project (`configs`, `reward_func` …), in a checkout and in an installed wheel."""
    inside = HERE / folder
    return inside if inside.is_dir() else HERE.parent / folder


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
    path = [str(part) for part in problem["loc"]]
    key = ".".join(path)
    if problem["type"] == "extra_forbidden":
        known = _keys_at(model, path[:-1])
        near = difflib.get_close_matches(path[-1], known, 1)
        hint = f"did you mean `{near[0]}`?" if near else f"valid keys: {', '.join(sorted(known))}"
        return f"unknown key `{key}`; {hint}"
    if problem["type"] == "missing":
        return f"missing key `{key}`"
    message = problem["msg"].removeprefix("Value error, ")
    return f"key `{key}`: {message} (got {problem['input']!r})" if key else message


def _keys_at(model: type[BaseModel], path: list[str]) -> list[str]:
    for part in path:
        field = model.model_fields.get(part)
        nested = [t for t in (field.annotation, *get_args(field.annotation)) if _is_model(t)] if field else []
        if not nested:
            return []
        model = nested[0]
    return list(model.model_fields)


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)
