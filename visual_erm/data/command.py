"""The command line that the scripts in data_prep/ share: a script names its sources, and each becomes a command.

    script = Script("chart", __doc__, write_tiny_policy)

    @script.command
    def images(report: Report, folder: Path) -> Iterable[Item]: ...

Exit code 0: everything is in. 1: some items were left out, each reported by file and line. 2: nothing was written.
"""

from __future__ import annotations

import inspect
import logging
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Annotated, Any, NoReturn, get_type_hints

import typer
from rich.console import Console
from rich.logging import RichHandler

from visual_erm.data.build import BuildOptions, build
from visual_erm.data.check import ModelWriter, VerlCheck
from visual_erm.data.prompts import default_prompt
from visual_erm.data.rows import RowFormat
from visual_erm.data.sources import Item, Report
from visual_erm.errors import ConfigError, VisualERMError, printable
from visual_erm.spec.task import load_task

Source = Callable[..., Iterable[Item]]
"""Takes a Report, then what its command is given."""

RendererVersion = Annotated[
    str, typer.Option(help='What rendered the images, if known: "cairosvg 2.9.1". The reward checks it.')
]
"""For the sources of images that were drawn elsewhere."""

err = Console(stderr=True)


class Script:
    """One script of data_prep/: commands that make data for the tasks of one kind.

    Args:
        kind: The kind's name, which also names the task that the commands are for by default. None: tasks of any kind, and
            `--task` must be given.
        about: Text of `--help`.
        stand_in: Writes a small model, with which rows are checked where no `--model` is given.
    """

    def __init__(self, kind: str | None, about: str | None, stand_in: ModelWriter) -> None:
        self._kind = kind
        self._stand_in = stand_in
        self._app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=about)

    def command(self, source: Source) -> Source:
        """Makes a command of a source: its own arguments, then those of every command. One that both name goes to both.

        Args:
            source: Takes a `Report`, then what its command is given; returns items. Its name and docstring are the
                command's.

        Returns:
            The source, unchanged.
        """
        own = list(inspect.signature(source).parameters.values())[1:]
        common = [p for p in _options() if p.name not in {o.name for o in own}]
        common = [p.replace(default=self._kind) if p.name == "task" and self._kind else p for p in common]

        def run(**given: Any) -> None:
            mine = {parameter.name: given[parameter.name] for parameter in own}
            shared = {parameter.name: given[parameter.name] for parameter in _options()}
            _write(lambda report: source(report, **mine), self._kind, self._stand_in, **shared)

        hints = get_type_hints(_write, include_extras=True) | get_type_hints(source, include_extras=True)
        parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[p.name]) for p in (*own, *common)]
        run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
        run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
        self._app.command(source.__name__, help=source.__doc__)(run)
        return source

    def main(self) -> NoReturn:
        """Entry point: a failure on purpose is one message and an exit code, never a traceback."""
        try:
            self._app()
        except (VisualERMError, OSError) as error:
            what = str(error) if isinstance(error, ConfigError) else f"{type(error).__name__}: {error}"
            err.print(what, style="red", markup=False, highlight=False, soft_wrap=True)
            sys.exit(2)
        sys.exit(0)


def _write(
    items: Callable[[Report], Iterable[Item]],
    kind: str | None,
    stand_in: ModelWriter,
    task: Annotated[str, typer.Option(help="Task of the rows, which says how code is rendered: a name, or a YAML file.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for train.parquet, test.parquet and images/.")],
    test_share: Annotated[float, typer.Option(help="Share of the items that is held out for the test split.")] = 0.1,
    seed: Annotated[int, typer.Option(help="Decides the split, what --limit keeps, and the order of rows.")] = 0,
    limit: Annotated[int | None, typer.Option(min=2, help="At most so many items, chosen at random.")] = None,
    embed: Annotated[
        bool, typer.Option("--embed/--no-embed", help="Pictures in the parquet, which then can move; or absolute paths.")
    ] = True,
    longest_side: Annotated[
        int, typer.Option(min=32, help="Pixels to which the policy's image is scaled down; the reference is not.")
    ] = 1280,
    prompt: Annotated[
        str | None,
        typer.Option(help="What the policy is asked; <image> stands for the image. By default as the task's language."),
    ] = None,
    check: Annotated[
        bool, typer.Option("--check/--no-check", help="Load every row through veRL, and leave out what it would drop.")
    ] = True,
    model: Annotated[
        Path | None, typer.Option(help="Folder of the policy, to check with its processor; else a tiny Qwen3-VL.")
    ] = None,
    max_prompt_tokens: Annotated[
        int, typer.Option(min=1, help="With --model: rows with a longer prompt are left out.")
    ] = 8192,
) -> None:
    """What every command does with its items."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[RichHandler(console=err, show_path=False)])
    left_out = 0

    def report(sentence: str) -> None:
        nonlocal left_out
        left_out += 1
        err.print(printable(sentence), style="yellow", markup=False, highlight=False, soft_wrap=True)

    loaded = load_task(task)
    if kind and loaded.kind.name != kind:
        raise ConfigError(f"--task {task}: its kind is `{loaded.kind.name}`; give a task of the kind `{kind}` here")
    form = RowFormat(loaded.name, prompt or default_prompt(loaded), longest_side, embed)
    row_check = None
    if check:
        row_check = VerlCheck(model, max_prompt_tokens) if model else VerlCheck.with_stand_in(stand_in)
    built = build(items(report), BuildOptions(out, test_share, seed, limit), loaded, form, report, err, row_check)
    err.print(f"{built.train} rows in {out / 'train.parquet'}, {built.test} in {out / 'test.parquet'}", highlight=False)
    if left_out:
        err.print(f"{left_out} left out", style="yellow")
        raise typer.Exit(1)


def _options() -> list[inspect.Parameter]:
    """Those of `_write` that are given on the command line."""
    return list(inspect.signature(_write).parameters.values())[3:]
