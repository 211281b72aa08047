"""Prompts of judges: texts in files, and published texts that the user imported in place of the project's own.

    judge.prompt_file --a shipped one that was imported--> the user's configuration directory, visual-erm/prompts/<task>.txt
                      --any other-----------------------> that file

`prompt_import` finds the published texts; this module keeps them. A record beside them says where each came from,
with its digest: a text that is not what was imported is refused, so that a run never asks with another one than it says.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import platformdirs
import yaml

from visual_erm.errors import ConfigError
from visual_erm.runtime.files import replacing
from visual_erm.spec.base import Settings, read_yaml, shipped, validate

RECORD = "origin.yaml"
FIX = "import it again, or remove all imported ones with `visual-erm prompts forget`"


class Origin(Settings):
    """Where an imported text came from."""

    path: str
    line: int
    sha256: str
    """Digest of the text."""


class Record(Settings):
    """All imported texts by task."""

    prompts: dict[str, Origin]


@dataclass(frozen=True)
class Found:
    """A text, and where it stands."""

    text: str
    path: Path
    line: int


def digest(text: str) -> str:
    """The SHA-256 of a text.

    Args:
        text: The text; its UTF-8 bytes count.

    Returns:
        64 hexadecimal digits.
    """
    return sha256(text.encode("utf-8")).hexdigest()


def shipped_prompts() -> Path:
    """The folder of the project's own texts, one a task."""
    return shipped("configs") / "task" / "prompts"


def imported_prompts() -> Path:
    """The folder of the imported ones; there only after an import."""
    return platformdirs.user_config_path("visual-erm", appauthor=False) / "prompts"


def read_prompt(path: Path) -> str:
    """Reads the prompt that a path stands for.

    Args:
        path: A text file. A shipped one stands for the imported text of the same task, if there is one.

    Returns:
        The text.

    Raises:
        ConfigError: The file holds no text, or an imported text was changed.
    """
    is_shipped = path.resolve().parent == shipped_prompts().resolve()
    return (imported(path.stem) if is_shipped else None) or _read(path, "utf-8-sig")


def evaluation_prompt(category: str) -> str:
    """Names the prompt with which the published evaluation asks about a category of pairs.

    Args:
        category: `table`, `chart` or `svg`.

    Returns:
        The name under which an imported text is kept, see `imported`.
    """
    return f"evaluation_{category}"


def imported(task: str) -> str | None:
    """Reads the text that was imported for a task.

    Args:
        task: Name of the task, or what `evaluation_prompt` returns.

    Returns:
        The text, or None where none was imported.

    Raises:
        ConfigError: The text is not what was imported.
    """
    try:
        origin = _record().get(task)
        if origin is None:
            return None
        file = imported_prompts() / f"{task}.txt"
        text = _read(file, "utf-8")
        if digest(text) != origin.sha256:
            raise ConfigError(f"{file}: was changed after it was imported")
    except ConfigError as error:
        raise ConfigError(f"{error}; {FIX}") from None
    return text


def import_of(text: str) -> Origin | None:
    """Finds out where a text in use was imported from.

    Args:
        text: A prompt.

    Returns:
        Its origin; None for the project's own texts and the user's own.
    """
    try:
        return next((origin for origin in _record().values() if origin.sha256 == digest(text)), None)
    except ConfigError:
        # Whatever is in use, it was not read through a record that cannot be read.
        return None


def described(text: str) -> str:
    """Says where a text in use is from.

    Args:
        text: A prompt.

    Returns:
        Its source and the first 12 digits of its digest, for messages.
    """
    origin = import_of(text)
    source = f"imported from {origin.path}, line {origin.line}" if origin else "own"
    return f"{source}, sha256 {digest(text)[:12]}"


def save_imported(texts: Mapping[str, Found]) -> None:
    """Stores imported texts in the user's configuration directory, all or none.

    The record is written last. Until then no text is in use, or, after an earlier import, one that its record does not fit
    is refused.

    Args:
        texts: By task: the text, and the file and line where it was found.

    Raises:
        ConfigError: The folder cannot be written.
    """
    folder = imported_prompts()
    origins = {task: Origin(path=str(f.path), line=f.line, sha256=digest(f.text)) for task, f in texts.items()}
    record = yaml.safe_dump(Record(prompts=origins).model_dump(), allow_unicode=True, sort_keys=False)
    # Replaced in the opposite order: the record comes last, when all texts are there.
    files = {RECORD: record, **{f"{task}.txt": found.text for task, found in texts.items()}}
    try:
        with contextlib.ExitStack() as stack:
            for name, content in files.items():
                stack.enter_context(replacing(folder / name)).write_bytes(content.encode("utf-8"))
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be written: {error.strerror}") from error


def remove_imported() -> bool:
    """Removes all imported texts.

    Returns:
        Whether there were any.

    Raises:
        ConfigError: The folder cannot be removed.
    """
    folder = imported_prompts()
    try:
        shutil.rmtree(folder)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise ConfigError(f"{folder}: cannot be removed: {error.strerror or error}") from error
    return True


def _record() -> dict[str, Origin]:
    """Where each imported text came from, by task."""
    file = imported_prompts() / RECORD
    return validate(Record, read_yaml(file), str(file)).prompts if os.access(file, os.F_OK) else {}


def _read(path: Path, encoding: str) -> str:
    try:
        text = path.read_bytes().decode(encoding)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 (byte {error.start})") from error
    if not text.strip():
        raise ConfigError(f"{path}: is empty")
    return text
