"""Renders many images at once: `visual-erm render`, the renderer used by itself.

Inputs are files, folders and JSONL. A file's suffix says what it holds: the suffixes of the task's languages (`.html`,
`.md`, `.py`, `.svg` …) are code, `.txt` is a policy's reply. A folder stands for all files below it that the task can
render. In a folder with files of code, a `.txt` without code is no failed reply: it is left out.

A line of a `.jsonl` file is an object with

    code      the code to render, and `language`, one of the task's; default: the task's first; or
    text      a policy's reply, whose code is extracted as in training;
    id        names the image; default: the file's name and the line's number.

An image carries the version of the renderer and a digest of all that went into it. A later run keeps what is up to date,
and no run overwrites an image that it did not render.

    summary = render_many(load_task("table"), [Path("tables/")], Path("images/"))
    summary.failed                                      # items without an image, each with its reason
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from PIL import Image, PngImagePlugin
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from visual_erm.errors import ConfigError, InfrastructureError, NoCodeError, PolicyFault
from visual_erm.extract import Code, extract
from visual_erm.render.base import Renderer, make_renderer
from visual_erm.runtime.files import files_below, remove_stale_parts, replacing
from visual_erm.spec.task import Task
from visual_erm.spec.text import json_of_line, jsonl_lines, read_text
from visual_erm.vision.images import UNREADABLE, why_unreadable

REPLY = ".txt"
"""Suffix of files that hold a policy's reply."""
JSONL = ".jsonl"
"""Suffix of files that hold one item per line."""


class BadItem(PolicyFault):
    """An input does not say what to render: the message names the fix."""


@dataclass(frozen=True)
class Item:
    """One image to render."""

    name: str
    """Name of the image without suffix, relative to the output folder."""
    source: str
    """Where it came from, for messages."""
    read: Callable[[Task], Code]
    """Returns the code. Raises BadItem, NoCodeError or OSError."""
    is_text: bool = False
    """Whether it is a `.txt` in a folder with files of code: without code it is no reply."""


@dataclass(frozen=True)
class Failure:
    """An item without an image."""

    source: str
    reason: str


@dataclass
class Summary:
    """What became of a batch."""

    rendered: int = 0
    """Images that were rendered."""
    kept: int = 0
    """Images that a former run rendered from the same code with the same renderer version and settings."""
    failed: list[Failure] = field(default_factory=list)
    left_out: list[str] = field(default_factory=list)
    """Text files without code, in folders with files of code."""

    @property
    def ok(self) -> bool:
        """Whether every item has an image."""
        return not self.failed


def render_many(task: Task, inputs: list[Path], to: Path, *, console: Console | None = None, pages: int = 2) -> Summary:
    """Renders every item to `to`/NAME.png, as the reward would. An item that fails is reported, and the rest goes on.

    The run may be stopped at any time: an image is there whole or not at all, and the next run continues from there.

    Args:
        task: How code is extracted and rendered.
        inputs: Files, folders and JSONL files.
        to: Folder for the images; made when it is not there.
        console: Shows progress and failures; None: nothing is shown.
        pages: How many renders run at once at most.

    Returns:
        How many images were rendered and kept, and which items failed.

    Raises:
        ConfigError: Inputs are missing or hold nothing to render, or `to` cannot be made.
        RendererUnavailable: The renderer cannot run on this machine.
    """
    total = sum(1 for _ in find_items(inputs, task))
    if not total:
        raise ConfigError(f"nothing to render in {', '.join(map(str, inputs))}: {_expected(task)}")
    try:
        to.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"{to}: cannot be made: {error.strerror}") from error
    remove_stale_parts(to)
    return asyncio.run(_render_all(task, find_items(inputs, task), total, to, console or Console(quiet=True), pages))


def _suffixes(task: Task) -> list[str]:
    """Suffixes of the files that the task can render."""
    return [*(suffix for language in task.code_languages for suffix in language.suffixes), REPLY, JSONL]


def _expected(task: Task) -> str:
    return f"expected {', '.join(_suffixes(task))} files, or folders of them"


def find_items(inputs: Iterable[Path], task: Task) -> Iterator[Item]:
    """Finds what is to be rendered.

    Args:
        inputs: Files, folders and JSONL files.
        task: Its languages say which files of a folder count.

    Yields:
        The items in a stable order.

    Raises:
        ConfigError: A path is missing or cannot be read.
    """
    for path in inputs:
        if path.is_dir():
            files = [file for file in files_below(path) if file.suffix.lower() in _suffixes(task)]
            has_code = any(file.suffix.lower() not in (REPLY, JSONL) for file in files)
            for file in files:
                yield from _items_of(file, file.relative_to(path).with_suffix("").as_posix(), has_code)
        elif path.is_file():
            yield from _items_of(path, path.stem)
        else:
            raise ConfigError(f"{path}: no such file or folder")


def _items_of(file: Path, name: str, beside_code: bool = False) -> Iterator[Item]:
    suffix = file.suffix.lower()
    if suffix == JSONL:
        for number, line in enumerate(jsonl_lines(file), 1):
            if line.strip():
                yield _item_of_line(line, f"{name}-{number}", f"{file}:{number}")
    else:
        yield Item(name, str(file), lambda task: _read_file(file, task), beside_code and suffix == REPLY)


def _read_file(file: Path, task: Task) -> Code:
    try:
        text = read_text(file)
    except ConfigError as error:
        raise BadItem(str(error).partition(": ")[2]) from error
    if file.suffix.lower() == REPLY:
        return extract(text, task.code_languages)
    for language in task.code_languages:
        if file.suffix.lower() in language.suffixes:
            return Code(language.code_language, text)
    raise BadItem(f"task `{task.name}` renders no `{file.suffix}` files; {_expected(task)}")


def _item_of_line(line: bytes, name: str, source: str) -> Item:
    try:
        row = json_of_line(line)
    except ValueError as error:
        row = error
    if isinstance(row, dict) and row.get("id") is not None:
        name = re.sub(r"[^\w.-]+", "_", str(row["id"])).lstrip(".") or name
    return Item(name, source, lambda task: _read_row(row, task))


def _read_row(row: Any, task: Task) -> Code:
    if not isinstance(row, dict):
        raise BadItem(f"not a line of JSON: {row}" if isinstance(row, ValueError) else "not a JSON object")
    if isinstance(row.get("code"), str):
        language = row.get("language", task.languages[0])
        if language not in task.languages:
            raise BadItem(f"language `{language}` is none of the task's: {', '.join(task.languages)}")
        return Code(task.kind.languages_of([language])[0].code_language, row["code"])
    if isinstance(row.get("text"), str):
        return extract(row["text"], task.code_languages)
    raise BadItem("needs `code` or `text`, a string")


async def _render_all(task: Task, items: Iterator[Item], total: int, to: Path, console: Console, pages: int) -> Summary:
    renderer = make_renderer(task.render, pages=pages)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    summary = Summary()
    sources: dict[str, str] = {}
    settings = f"{renderer.renderer_version} {task.kind.name} {task.render.model_dump_json()}"

    async def work() -> None:
        for item in items:
            try:
                code = await asyncio.to_thread(_code_of, item, task)
                if code is None:
                    summary.left_out.append(item.source)
                    bar.advance(line)
                    continue
                if sources.setdefault(item.name, item.source) != item.source:
                    raise BadItem(f"would be rendered to the same image as {sources[item.name]}")
                await _render_one(task, code, to / f"{item.name}.png", renderer, settings, summary)
            except (PolicyFault, InfrastructureError, OSError) as error:
                summary.failed.append(Failure(item.source, f"{type(error).__name__}: {error}"))
                console.print(f"[red]{escape(item.source)}[/]: {escape(str(error))}", highlight=False, soft_wrap=True)
            bar.advance(line)

    try:
        with bar:
            line = bar.add_task("rendering", total=total)
            await asyncio.gather(*(work() for _ in range(2 * pages)))
    finally:
        await renderer.close()
    console.print(
        f"{summary.rendered} rendered, {summary.kept} kept, {len(summary.failed)} failed: {escape(str(to))}",
        highlight=False,
    )
    if summary.left_out:
        console.print(
            f"{len(summary.left_out)} {REPLY} files without code, beside files of code, are left out", style="dim"
        )
    return summary


def _code_of(item: Item, task: Task) -> Code | None:
    """The item's code; None for a text file that is no reply."""
    try:
        return item.read(task)
    except (BadItem, NoCodeError):
        if item.is_text:
            return None
        raise


async def _render_one(task: Task, code: Code, path: Path, renderer: Renderer, settings: str, summary: Summary) -> None:
    digest = hashlib.sha256(f"{settings}\0{code.language}\0{code.text}".encode("utf-8", "replace")).hexdigest()
    if await asyncio.to_thread(_is_up_to_date, path, digest):
        summary.kept += 1
        return
    image = await renderer.render(code)
    await asyncio.to_thread(_save, image, path, {"renderer_version": renderer.renderer_version, "digest": digest})
    summary.rendered += 1


def _is_up_to_date(path: Path, digest: str) -> bool:
    """Whether the image is there and up to date. One that is out of date is removed; a foreign one raises BadItem."""
    try:
        with Image.open(path) as image:
            found = image.info.get("digest")
    except FileNotFoundError:
        return False
    except UNREADABLE as error:
        raise BadItem(f"{path} is there already and cannot be read ({why_unreadable(error)}): it is left alone") from error
    if found is None:
        raise BadItem(f"{path} is there already and was not rendered by this command: it is left alone")
    if found == digest:
        return True
    path.unlink()
    return False


def _save(image: Image.Image, path: Path, notes: dict[str, str]) -> None:
    """Writes a PNG with notes in it, whole or not at all."""
    information = PngImagePlugin.PngInfo()
    for key, value in notes.items():
        information.add_text(key, value)
    with replacing(path) as part:
        image.save(part, "PNG", pnginfo=information)
