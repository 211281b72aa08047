"""`visual-erm …`: the path by hand, one station or all of them, for one picture or a folder."""

from __future__ import annotations

import asyncio
import json
import logging
import sys
from pathlib import Path
from typing import Annotated, NoReturn

import typer
from rich.console import Console
from rich.logging import RichHandler
from rich.markup import escape
from rich.table import Table

from visual_erm.errors import ConfigError, OurFault, VisualERMError
from visual_erm.judge import load_judge_settings, make_judge
from visual_erm.pipeline import Result, RewardPipeline, load_image
from visual_erm.report import Report
from visual_erm.task import load_task

app = typer.Typer(no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, help=__doc__)
out = Console()
err = Console(stderr=True)

TaskName = Annotated[str, typer.Argument(help="A task by name (table) or the path of its YAML file.")]
JudgeName = Annotated[str, typer.Option(help="`local`, the URL of an OpenAI-compatible server, or a YAML file.")]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]

USAGE = 2
"""Exit code for wrong input, as of any command line; 1 is for what failed on our side."""


@app.callback()
def _options(verbose: Annotated[bool, typer.Option("--verbose", "-v", help="Log every step.")] = False) -> None:
    level = logging.INFO if verbose else logging.WARNING
    logging.basicConfig(level=level, format="%(message)s", handlers=[RichHandler(console=err, show_path=False)])


@app.command()
def score(
    task: TaskName,
    reference: Annotated[Path, typer.Option(help="The reference image.")],
    response: Annotated[Path, typer.Option(help="The policy's reply, or bare code; `-` reads standard input.")],
    judge: JudgeName = "local",
    as_json: AsJson = False,
) -> None:
    """Score one reply: extract its code, render it, judge it against the reference, and print the reward."""
    loaded = load_task(task)
    settings = load_judge_settings(judge)
    picture = load_image(reference)
    reply = sys.stdin.read() if str(response) == "-" else _read(response)
    if settings.kind == "local":
        _note_local_judge(as_json)

    async def run() -> Result:
        async with RewardPipeline(loaded, settings, pages=1) as pipeline:
            return await pipeline.score(reply, picture)

    result = asyncio.run(run())
    if as_json:
        report = result.report.wire(loaded.report) if result.report else None
        _print_json({**result.numbers(loaded), "reason": result.reason, "report": report})
    else:
        out.print(f"[bold]reward {result.reward:g}[/]   severity {result.severity:g}   rendered {_yes(result.render_ok)}")
        if result.reason:
            out.print(result.reason, markup=False)
        if result.report:
            _print_report(result.report)
    if not result.judge_ok:
        raise typer.Exit(1)


@app.command("judge")
def judge_pictures(
    task: TaskName,
    reference: Annotated[Path, typer.Argument(help="The reference image.")],
    prediction: Annotated[Path, typer.Argument(help="The image to compare with it.")],
    judge: JudgeName = "local",
    as_json: AsJson = False,
) -> None:
    """List what differs between two pictures."""
    loaded = load_task(task)
    settings = load_judge_settings(judge)
    pictures = load_image(reference), load_image(prediction)
    if settings.kind == "local":
        _note_local_judge(as_json)

    async def run() -> Report:
        chosen = make_judge(settings)
        try:
            return await chosen.judge(*pictures, loaded)
        finally:
            await chosen.close()

    report = asyncio.run(run())
    if as_json:
        _print_json({"severity": report.severity, "truncated": report.truncated, **report.wire(loaded.report)})
    else:
        out.print(f"severity [bold]{report.severity}[/], {len(report.discrepancies)} discrepancies")
        _print_report(report)


@app.command()
def render(
    task: TaskName,
    inputs: Annotated[list[Path], typer.Argument(help="Files of code, folders of them, or JSONL.")],
    to: Annotated[Path, typer.Option("--out", "-o", help="Folder for the pictures; what is already there is kept.")],
) -> None:
    """Draw code as the reward does: files, folders or JSONL in, one PNG each out."""
    from visual_erm.render.batch import render_many

    summary = render_many(load_task(task), inputs, to, console=err)
    raise typer.Exit(0 if summary.ok else 1)


@app.command()
def doctor(
    judge: Annotated[str, typer.Option(help="Also check this judge: `local`, a URL, or a YAML file.")] = "local",
    as_json: AsJson = False,
) -> None:
    """Check what this machine has: browser, fonts, sandbox abilities, OCR, endpoints, package versions."""
    from visual_erm.doctor import examine

    findings = examine(load_judge_settings(judge))
    if as_json:
        _print_json([vars(finding) for finding in findings])
    else:
        table = Table("", "what", "found", "fix", box=None, pad_edge=False)
        marks = {"ok": "[green]ok[/]", "warning": "[yellow]warning[/]", "missing": "[red]missing[/]"}
        for finding in findings:
            table.add_row(marks[finding.state], finding.what, finding.found, finding.fix)
        out.print(table)
    raise typer.Exit(1 if any(finding.state == "missing" for finding in findings) else 0)


def main() -> NoReturn:
    """Entry point: a failure on purpose is one message and an exit code, never a traceback."""
    try:
        app()
    except ConfigError as error:
        err.print(str(error), style="red", markup=False, highlight=False)
        sys.exit(USAGE)
    except OurFault as error:
        err.print(f"{type(error).__name__}: {error}", style="red", markup=False, highlight=False)
        sys.exit(1)
    except VisualERMError as error:
        err.print(str(error), style="red", markup=False, highlight=False)
        sys.exit(1)
    sys.exit(0)


def _note_local_judge(quiet: bool) -> None:
    if not quiet:
        err.print("judged locally, by OCR and image comparison; --judge URL asks a Visual-ERM server", style="dim")


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="replace")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error


def _yes(flag: bool) -> str:
    return "yes" if flag else "no"


def _print_json(content: object) -> None:
    print(json.dumps(content, ensure_ascii=False, indent=2))


def _print_report(report: Report) -> None:
    if not report.discrepancies:
        out.print("no discrepancy: visually equivalent")
        return
    table = Table("severity", "category", "description", box=None, pad_edge=False)
    for item in report.discrepancies:
        where = "" if item.description.startswith(item.location) else f"{item.location}: "
        table.add_row(str(item.severity), item.category, escape(where + item.description))
    out.print(table)


if __name__ == "__main__":
    main()
