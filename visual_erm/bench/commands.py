"""The commands `visual-erm bench run`, `match`, `score`, `compare`, `agree` and `report`."""

from __future__ import annotations

import itertools
import math
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Column, Table

from visual_erm.errors import ConfigError, printable
from visual_erm.jobs.output import SOME_FAILED, print_table, tell, write_json, write_text

if TYPE_CHECKING:
    from visual_erm.bench.rows import Row
    from visual_erm.bench.scores import Group
    from visual_erm.spec.judge import JudgeSettings

app = typer.Typer(
    no_args_is_help=True,
    help="Measure a judge on VC-RewardBench: run it, match its errors with those of people, score it, compare it.",
)
out = Console()
err = Console(stderr=True)

Rows = Annotated[Path, typer.Argument(help="The benchmark, in JSON lines or as one JSON list.")]
Matches = Annotated[Path, typer.Argument(help="A file that `bench match` wrote.")]
AsPublished = Annotated[
    bool,
    typer.Option(help="Count as the published script does: its matcher's own lists of what is unmatched are believed."),
]
JsonFile = Annotated[Path | None, typer.Option("--json", help="Write the scores to this file too.")]


@app.command()
def run(
    rows: Rows,
    to: Annotated[Path, typer.Option("--out", help="File for the answers. A run that was stopped goes on from it.")],
    root: Annotated[Path | None, typer.Option(help="Folder of the images. Default: that of the benchmark's file.")] = None,
    judge: Annotated[
        str,
        typer.Option(
            help="The judge: `local`, the URL of an OpenAI-compatible server, the path of a YAML file, or "
            "`transformers:FOLDER`: the model in that folder, in this process."
        ),
    ] = "local",
    task: Annotated[
        list[str] | None,
        typer.Option(help="A task's YAML file: its prompt, images and sampling are used for pairs of its kind."),
    ] = None,
    retry_failed: Annotated[bool, typer.Option(help="Ask again about pairs for which the judge failed.")] = False,
    swap: Annotated[
        bool, typer.Option(help="Exchange reference and predicted image, to see whether that matters.")
    ] = False,
    published: Annotated[
        bool,
        typer.Option(
            help="Ask as the published evaluation does, with its prompts (`visual-erm prompts import`). Writes a JSON list."
        ),
    ] = False,
) -> None:
    """Ask a judge about every pair."""
    from visual_erm.bench.rows import read_rows, with_truths
    from visual_erm.bench.run import run as run_all
    from visual_erm.spec.judge import load_judge_settings
    from visual_erm.spec.task import load_task

    found, problems = read_rows(rows)
    found, without = with_truths(found)
    problems += without
    if not found:
        raise ConfigError(problems[0])
    settings, tasks = load_judge_settings(judge), [load_task(one) for one in task or ()]
    name = _name_of(judge, settings) + " (swapped)" * swap + " (as published)" * published
    summary = run_all(
        found,
        root or rows.parent,
        settings,
        to,
        tasks=tasks,
        name=name,
        retry_failed=retry_failed,
        swapped=swap,
        published=published,
        console=err,
    )
    tell(f"{summary.done} answered, {summary.kept} kept, {len(summary.failed)} failed: {to}", problems, err)
    raise typer.Exit(SOME_FAILED if summary.failed or problems else 0)


@app.command()
def match(
    answers: Annotated[Path, typer.Argument(help="A file that `bench run` wrote, or the published evaluation.")],
    to: Annotated[Path, typer.Option("--out", help="File for the matches. A run that was stopped goes on from it.")],
    matcher: Annotated[
        str,
        typer.Option(help="`offline`, or the model that matches: the path of a judge's YAML file that names its servers."),
    ] = "offline",
    retry_failed: Annotated[bool, typer.Option(help="Match items again for which the matcher failed.")] = False,
) -> None:
    """Pair the errors that a judge reports with those of people."""
    from visual_erm.bench.match import OFFLINE
    from visual_erm.bench.match import match as match_all
    from visual_erm.bench.rows import read_rows
    from visual_erm.spec.judge import load_judge_settings

    found, problems = read_rows(answers)
    settings = None if matcher == OFFLINE else load_judge_settings(matcher)
    if settings is not None and settings.kind != "remote":
        raise ConfigError(f"--matcher {matcher}: needs servers (`kind: remote`), or `{OFFLINE}`")
    summary = match_all(found, to, settings, retry_failed=retry_failed, console=err)
    tell(f"{summary.done} matched, {summary.kept} kept, {len(summary.failed)} failed: {to}", problems, err)
    raise typer.Exit(SOME_FAILED if summary.failed or problems else 0)


@app.command()
def score(matches: Matches, as_published: AsPublished = False, json_file: JsonFile = None) -> None:
    """Print the paper's figures: F1 hard, F1 soft and the correlation of severities, with 95% intervals."""
    from visual_erm.bench.rows import read_rows
    from visual_erm.bench.scores import score as score_all

    found, problems = read_rows(matches)
    scores = score_all(found, as_published=as_published)
    if not scores.groups:
        raise ConfigError(f"{matches}: no item was matched; {scores.left_out[0]}")
    shown = Table(Column("", no_wrap=True), "items", "F1 hard", "F1 soft", "S_c", "unreadable", "false alarms", "severity")
    for name, group in scores.groups.items():
        alarms = f"{group.false_alarms} of {group.clean}"
        shown.add_row(
            name, str(group.figures.items), *_cells(group), str(group.unreadable), alarms, _number(group.severity_bias)
        )
        for kind, part in group.error_categories.items() if name != "all" else ():
            shown.add_row(f"  {kind}", "", *_cells(part), "", "", "", style="dim")
    print_table(shown, out)
    matchers = ", ".join(f"{name} ({count})" for name, count in scores.matchers.items())
    out.print(printable(f"matched by: {matchers}"), markup=False, highlight=False)
    if scores.contradictions:
        change = ", ".join(f"{name} {100 * value:+.1f}" for name, value in scores.change.items() if not math.isnan(value))
        out.print(
            f"{scores.contradictions} items have lists of unmatched errors that contradict their matches. Believed, as in "
            f"the published script, they would change: {change or 'counts only'}",
            markup=False,
            highlight=False,
        )
    write_json(json_file, scores.wire())
    tell(f"{len(scores.left_out)} left out" if scores.left_out else "", [*problems, *scores.left_out], err)
    raise typer.Exit(SOME_FAILED if scores.left_out or problems else 0)


@app.command()
def compare(a: Matches, b: Matches, json_file: JsonFile = None) -> None:
    """Print how judge B differs from judge A on the items that both have judged."""
    from dataclasses import asdict

    from visual_erm.bench.figures import percent, with_interval
    from visual_erm.bench.rows import read_rows
    from visual_erm.bench.scores import compare as compare_all
    from visual_erm.bench.scores import without_nan

    (rows_a, problems_a), (rows_b, problems_b) = read_rows(a), read_rows(b)
    found = compare_all(rows_a, rows_b)
    shown = Table(
        Column("", no_wrap=True),
        "items",
        Column("", no_wrap=True),
        "A",
        "B",
        "B - A",
        "detectable",
        "found by one only",
        "p",
    )
    for name, group in found.items():
        for place, key in enumerate(group.difference):
            first = place == 0
            p_value = group.p_value if math.isnan(group.adjusted_p_value) else group.adjusted_p_value
            shown.add_row(
                name if first else "",
                str(group.items) if first else "",
                key,
                percent(group.a[key]),
                percent(group.b[key]),
                with_interval(group.difference[key], group.intervals[key]),
                percent(group.detectable[key]),
                f"A {group.found_by_a_only}, B {group.found_by_b_only}" if first else "",
                f"{p_value:.2g}" if first else "",
            )
    print_table(shown, out)
    matchers = [sorted({row.matcher or "unknown" for row in rows if not row.failed}) for rows in (rows_a, rows_b)]
    for name, of_judge in zip("AB", matchers, strict=True):
        out.print(printable(f"{name} matched by: {', '.join(of_judge)}"), markup=False, highlight=False)
    if matchers[0] != matchers[1]:
        problems_a.append("A and B were matched by different matchers: their figures are not comparable")
    write_json(json_file, without_nan({name: asdict(group) for name, group in found.items()}))
    tell("", [*problems_a, *problems_b], err)
    raise typer.Exit(SOME_FAILED if problems_a or problems_b else 0)


@app.command()
def agree(
    answers: Annotated[list[Path], typer.Argument(help="Files that `bench run` wrote: several runs over one benchmark.")],
    json_file: JsonFile = None,
) -> None:
    """Print how far several runs agree: of one judge with itself, or with its images swapped."""
    from dataclasses import asdict

    from visual_erm.bench.agreement import agree as agree_all
    from visual_erm.bench.figures import percent, with_interval
    from visual_erm.bench.rows import read_rows
    from visual_erm.bench.scores import without_nan

    read = [read_rows(path) for path in answers]
    found = agree_all([rows for rows, _ in read])
    out.print(f"{found.items} items that every run has answered", highlight=False)
    out.print(f"F1 of errors      {with_interval(found.f1, found.f1_interval)}", highlight=False)
    out.print(f"same severity     {percent(found.same_severity)} % of items", highlight=False)
    out.print(f"mean difference   {found.severity_difference:.2f}", highlight=False)
    out.print(f"correlation       {percent(found.severity_correlation)}", highlight=False)
    write_json(json_file, without_nan(asdict(found)))
    problems = [message for _, messages in read for message in messages]
    tell("", problems, err)
    raise typer.Exit(SOME_FAILED if problems else 0)


@app.command()
def report(
    matches: Annotated[list[Path], typer.Argument(help="Files that `bench match` wrote, one a judge.")],
    to: Annotated[Path, typer.Option("--out", help="Folder for report.md, report.html and report.json.")],
    root: Annotated[Path | None, typer.Option(help="Folder of the images. Default: none are shown.")] = None,
    worst: Annotated[int, typer.Option(help="Items with the most mistakes that are shown of each judge.", min=0)] = 10,
) -> None:
    """Write a page on several judges beside the published figures, with the worst items."""
    from visual_erm.bench.report import html, markdown
    from visual_erm.bench.rows import read_rows
    from visual_erm.bench.scores import score as score_all

    judges: dict[str, list[Row]] = {}
    problems: list[str] = []
    for path in matches:
        rows, wrong = read_rows(path)
        judges[_free_name(rows[0].judge or path.stem, path, judges)] = rows
        problems += wrong
    scores = {name: score_all(rows) for name, rows in judges.items()}
    problems += [message for of_judge in scores.values() for message in of_judge.left_out]
    text = markdown(judges, scores, root, worst)
    write_json(to / "report.json", {name: of_judge.wire() for name, of_judge in scores.items()})
    write_text(to / "report.md", text)
    write_text(to / "report.html", html(text))
    tell(f"written to {to}", problems, err)
    raise typer.Exit(SOME_FAILED if problems else 0)


def _free_name(name: str, path: Path, taken: Collection[str]) -> str:
    """The name of a judge on a page: with its file, and a number, where another one has the name."""
    numbered = (f"{name} ({path}, {number})" for number in itertools.count(2))
    return next(one for one in itertools.chain([name, f"{name} ({path})"], numbered) if one not in taken)


def _name_of(judge: str, settings: JudgeSettings) -> str:
    """The name of a judge in a file of answers. It does not depend on the folder from which a run goes on."""
    from visual_erm.judge.endpoint import hide_login

    if "://" in judge:
        return hide_login(judge)
    if settings.kind == "transformers":
        return f"{Path(settings.model or '').expanduser().resolve().name} (transformers)"
    kind = settings.model or "remote" if settings.kind == "remote" else settings.kind
    return kind if Path(judge).stem == kind else f"{kind} ({Path(judge).stem})"


def _cells(group: Group) -> list[str]:
    from visual_erm.bench.figures import with_interval

    return [with_interval(getattr(group.figures, name), ends) for name, ends in group.intervals.items()]


def _number(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:+.2f}"
