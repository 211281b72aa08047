"""Tables -> veRL data: train.parquet and test.parquet, each row with a picture for the policy and the reward's reference.

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

from visual_erm.data import sources
from visual_erm.data.build import Plan, build
from visual_erm.data.check import VerlCheck
from visual_erm.data.rows import PROMPT, RowFormat
from visual_erm.data.sources import Item, Report
from visual_erm.errors import ConfigError, VisualERMError
from visual_erm.task import load_task

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
err = Console(stderr=True)


def _write(
    items: Callable[[Report], Iterable[Item]],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for train.parquet, test.parquet and images/.")],
    test_share: Annotated[float, typer.Option(help="Share of the tables that is held out for the test split.")] = 0.1,
    seed: Annotated[int, typer.Option(help="Decides the split, what --limit keeps, and the order of rows.")] = 0,
    limit: Annotated[int | None, typer.Option(min=2, help="At most so many tables, drawn by lot.")] = None,
    embed: Annotated[
        bool, typer.Option("--embed/--no-embed", help="Pictures in the parquet, which then can move; or absolute paths.")
    ] = True,
    longest_side: Annotated[
        int, typer.Option(min=32, help="Pixels to which the policy's picture is scaled down; the reference is not.")
    ] = 1280,
    prompt: Annotated[
        str, typer.Option(help="What the policy is asked; <image> stands for the picture.", show_default=False)
    ] = PROMPT,
    task: Annotated[str, typer.Option(help="Task whose renderer draws markup: a name, or a YAML file.")] = "table",
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
    """What every command does with its tables."""
    logging.basicConfig(level=logging.WARNING, format="%(message)s", handlers=[RichHandler(console=err, show_path=False)])
    left_out = 0

    def report(sentence: str) -> None:
        nonlocal left_out
        left_out += 1
        err.print(sentence, style="yellow", markup=False, highlight=False, soft_wrap=True)

    loaded = load_task(task)
    form = RowFormat(loaded.name, prompt, longest_side, embed)
    rows_load = VerlCheck(model, max_prompt_tokens) if check else None
    built = build(items(report), Plan(out, test_share, seed, limit), loaded, form, report, err, rows_load)
    err.print(f"{built.train} rows in {out / 'train.parquet'}, {built.test} in {out / 'test.parquet'}", highlight=False)
    if left_out:
        err.print(f"{left_out} left out", style="yellow")
        raise typer.Exit(1)


def _command(source: Callable[..., Iterable[Item]]) -> Callable[..., Iterable[Item]]:
    """Makes a command of `source`: its own arguments, then those of `_write`; one that both name goes to both."""
    own = list(inspect.signature(source).parameters.values())[1:]
    common = [p for p in list(inspect.signature(_write).parameters.values())[1:] if p.name not in {o.name for o in own}]

    def run(**given: Any) -> None:
        mine = {parameter.name: given[parameter.name] for parameter in own}
        shared = {name: given[name] for name in inspect.signature(_write).parameters if name in given}
        _write(lambda report: source(report, **mine), **shared)

    hints = get_type_hints(_write, include_extras=True) | get_type_hints(source, include_extras=True)
    parameters = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY, annotation=hints[p.name]) for p in (*own, *common)]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    app.command(source.__name__, help=source.__doc__)(run)
    return source


@_command
def images(
    report: Report, folder: Annotated[Path, typer.Argument(help="Pictures of tables, in this folder and below.")]
) -> Iterable[Item]:
    """Pictures alone: each is its own reference, no markup is needed."""
    return sources.images(folder)


@_command
def pubtabnet(
    report: Report,
    rows: Annotated[Path, typer.Argument(help="PubTabNet's JSONL.")],
    images: Annotated[Path, typer.Option(help="The folder with its pictures, or with its folders train, val, test.")],
    split: Annotated[str | None, typer.Option(help="Only this split of PubTabNet: train, val or test.")] = None,
) -> Iterable[Item]:
    """PubTabNet: its pictures are the references, its markup is kept as ground truth."""
    return sources.pubtabnet(rows, images, split, report)


@_command
def markup(
    report: Report,
    inputs: Annotated[list[Path], typer.Argument(help="HTML or Markdown files, folders of them, or JSONL.")],
) -> Iterable[Item]:
    """HTML or Markdown tables, drawn by this project's renderer: one per file, or per JSONL line ("html" or "markdown")."""
    return sources.markup(inputs, report)


@_command
def packages(
    report: Report,
    max_rows: Annotated[int, typer.Option(min=2, help="Rows of a table, header aside.")] = 10,
    max_columns: Annotated[int, typer.Option(min=2, help="Columns of a table.")] = 6,
    seed: Annotated[int, typer.Option(help="Decides the cuts, the split, what --limit keeps, and the order.")] = 0,
) -> Iterable[Item]:
    """Real tables from inside statsmodels and scikit-learn, cut to size and drawn: for trials without a download."""
    return sources.packages(max_rows, max_columns, seed)


def main() -> NoReturn:
    """Entry point: a failure on purpose is one message and an exit code, never a traceback."""
    try:
        app()
    except (VisualERMError, OSError) as error:
        what = str(error) if isinstance(error, ConfigError) else f"{type(error).__name__}: {error}"
        err.print(what, style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(2)
    sys.exit(0)


if __name__ == "__main__":
    main()
