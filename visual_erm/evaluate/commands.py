"""The commands `visual-erm eval run`, `report`, `compare` and `best`, and `visual-erm rescore`."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from visual_erm.errors import ConfigError, printable
from visual_erm.jobs.output import SOME_FAILED, print_table, tell, write_json

if TYPE_CHECKING:
    from visual_erm.evaluate.changes import Changes

app = typer.Typer(
    no_args_is_help=True,
    help="Say how good a policy is: score its replies to a test set, report, compare.",
)
out = Console()
err = Console(stderr=True)

Replies = Annotated[Path, typer.Argument(help="A file that `eval run` wrote.")]
JsonFile = Annotated[Path | None, typer.Option("--json", help="Write the figures to this file too.")]
Judge = Annotated[
    str, typer.Option(help="The judge: `local`, the URL of an OpenAI-compatible server, or the path of a YAML file.")
]
Tasks = Annotated[
    list[str] | None,
    typer.Option(help="A task or a mixture, by name or YAML file. Default: the shipped tasks that the rows name."),
]
Root = Annotated[
    Path | None, typer.Option(help="Folder that paths of references start from. Default: that of the parquet file.")
]


@app.command()
def run(
    rows: Annotated[Path, typer.Argument(help="The test set, a parquet file of data_prep/.")],
    to: Annotated[Path, typer.Option("--out", help="File for the replies. A run that was stopped goes on from it.")],
    policy: Annotated[
        str | None, typer.Option(help="The policy: the URL of an OpenAI-compatible server, or the path of a YAML file.")
    ] = None,
    replies: Annotated[
        Path | None,
        typer.Option(help="In place of a policy: JSON lines with `reply`, and `index` (or `id`), the row's index."),
    ] = None,
    judge: Judge = "local",
    task: Tasks = None,
    n: Annotated[int, typer.Option(min=1, help="Replies to a row. More than 1 needs a temperature above 0.")] = 1,
    also: Annotated[str, typer.Option(help="Measure this too: `ssim`, `dino`, or both with a comma.")] = "",
    dino_model: Annotated[
        str | None, typer.Option(help="For `--also dino`: folder or name of a DINOv2 or DINOv3 checkpoint.")
    ] = None,
    root: Root = None,
    retry_failed: Annotated[
        bool, typer.Option(help="Do again what policy, judge or renderer failed at. Replies that are known are kept.")
    ] = False,
) -> None:
    """Score a policy's replies to every row of a test set.

    Exit codes: 0 every reply has a result, 1 some have none, 2 wrong input.
    """
    from visual_erm.evaluate.rows import DataRows, tasks_of
    from visual_erm.evaluate.run import GivenReplies, PolicyWriter, name_of
    from visual_erm.evaluate.run import run as run_all
    from visual_erm.evaluate.scoring import check_measures
    from visual_erm.spec.judge import load_judge_settings
    from visual_erm.spec.policy import load_policy_settings

    if (policy is None) == (replies is None):
        raise ConfigError("give --policy URL, or --replies FILE, and not both")
    if replies is not None and n != 1:
        raise ConfigError("--n is for a policy; a file of replies has as many for each row as it has lines of it")
    measures = [name.strip() for name in also.split(",") if name.strip()]
    check_measures(measures, dino_model)
    settings = load_judge_settings(judge)
    served = load_policy_settings(policy) if policy is not None else None
    data = DataRows([rows], tasks_of(task or ()), root)
    problems: list[str] = []
    writer: PolicyWriter | GivenReplies
    if served is not None:
        writer = PolicyWriter(served, n)
    else:
        assert replies is not None
        writer = GivenReplies(replies, data)
        problems = writer.problems
    name = name_of(str(policy if policy is not None else replies), judge, measures)
    done = run_all(
        data, writer, settings, to, name=name, also=measures, dino=dino_model, retry_failed=retry_failed, console=err
    )
    tell(f"{done.done} scored, {done.kept} kept, {len(done.failed)} failed: {to}", problems, err)
    raise typer.Exit(SOME_FAILED if done.failed or problems else 0)


@app.command()
def report(replies: Replies, json_file: JsonFile = None) -> None:
    """Print a policy's figures, for each task and over all, with 95% intervals."""
    from visual_erm.evaluate.figures import summarize
    from visual_erm.evaluate.lines import read_lines

    lines, problems = read_lines(replies)
    groups = summarize(lines)
    shown = Table(Column("task", no_wrap=True), Column("figure", no_wrap=True), "mean", "95% interval", "replies")
    for name, group in groups.items():
        for place, (key, figure) in enumerate(group.figures.items()):
            mean, ends = _number(key, figure.mean), _ends(key, figure.interval)
            shown.add_row("" if place else _shown(name), _shown(key), mean, ends, str(figure.replies))
        out_of = f"{group.replies} replies to {group.rows} rows, {group.references} references"
        shown.add_row("", "", "", "", out_of, style="dim", end_section=True)
    print_table(shown, out)
    runs = sorted({str(line.content["run"]) for line in lines})
    out.print(printable("; ".join(runs)), markup=False, highlight=False, soft_wrap=True)
    write_json(json_file, {name: _plain(group) for name, group in groups.items()})
    left_out = [f"{line.place}: {line.failed}" for line in lines if line.failed]
    tell(f"{len(left_out)} left out or not measured" if left_out else "", [*problems, *left_out], err)
    raise typer.Exit(SOME_FAILED if left_out or problems else 0)


@app.command()
def compare(
    before: Annotated[Path, typer.Argument(help="A file that `eval run` wrote.")],
    after: Annotated[Path, typer.Argument(help="Another one, over the same rows.")],
    json_file: JsonFile = None,
) -> None:
    """Print how a policy differs from another one on the rows that both have, with 95% intervals of the differences."""
    from visual_erm.evaluate.figures import compare as compare_all
    from visual_erm.evaluate.lines import read_lines

    (lines_before, problems), (lines_after, more) = read_lines(before), read_lines(after)
    found = compare_all(lines_before, lines_after)
    shown = Table(Column("task", no_wrap=True), Column("figure", no_wrap=True), "rows", "before", "after")
    for title in ("after - before", "detectable"):
        shown.add_column(title, no_wrap=True)
    for name, group in found.groups.items():
        for place, (key, one) in enumerate(group.items()):
            moved = f"{_number(key, one.difference, sign=True)} ({_ends(key, one.interval, sign=True)})"
            detectable = "-" if math.isnan(one.detectable) else _number(key, one.detectable)
            values = _number(key, one.before), _number(key, one.after)
            shown.add_row("" if place else _shown(name), _shown(key), str(one.rows), *values, moved, detectable)
    print_table(shown, out)
    judges = [{_judge_of(str(line.content["run"])) for line in lines} for lines in (lines_before, lines_after)]
    problems += more
    if judges[0] != judges[1]:
        problems.append(f"judged by {_words(judges[0])} before and by {_words(judges[1])} after: not comparable")
    for path, names in ((before, found.only_before), (after, found.only_after)):
        problems += [f"only in {path}, left out: {name}" for name in names]
    write_json(json_file, _plain(found))
    tell("", problems, err)
    raise typer.Exit(SOME_FAILED if problems else 0)


@app.command()
def best(
    replies: Annotated[Path, typer.Argument(help="A file that `eval run --n N` wrote.")],
    truth: Annotated[
        str | None, typer.Option(help="Compare with this measure only: `teds`, `edit_distance`, `ssim` or `dino`.")
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Print what is gained when the judge picks the best of n replies, against a pick by ground truth and a random one."""
    from visual_erm.evaluate.best_of_n import best_of_n, measures_of
    from visual_erm.evaluate.lines import read_lines

    lines, problems = read_lines(replies)
    known = measures_of(lines)
    if not known or (truth is not None and truth not in known):
        fix = f"it has {', '.join(known)}" if known else "the rows need `reward_model.ground_truth`, or give --also ssim"
        raise ConfigError(f"{replies}: no reply has {truth or 'a score against the ground truth'}; {fix}")
    curves = {name: best_of_n(lines, name) for name in ([truth] if truth else known)}
    if all(len(curve.reward) == 1 for of_measure in curves.values() for curve in of_measure.values()):
        raise ConfigError(f"{replies}: has one reply to each row; run `visual-erm eval run --n 8` for best of 8")
    shown = Table(Column("task", no_wrap=True), Column("measure", no_wrap=True), "n")
    for title in ("reward", "judge picks", "best by measure", "random", "captured"):
        shown.add_column(title, no_wrap=True)
    for name, of_measure in curves.items():
        for task, curve in of_measure.items():
            for n, (reward, judge, oracle) in enumerate(zip(curve.reward, curve.judge, curve.oracle, strict=True)):
                captured = "-" if math.isnan(curve.captured[n]) else f"{100 * curve.captured[n]:.0f} %"
                cells = [f"{one.mean:.3f} ({_ends(name, one.interval)})" for one in (reward, judge, oracle, curve.random)]
                shown.add_row("" if n else _shown(task), "" if n else name, str(n + 1), *cells, captured)
            problems += [message for message in curve.left_out if message not in problems]
    print_table(shown, out)
    write_json(json_file, {name: {task: _plain(one) for task, one in found.items()} for name, found in curves.items()})
    tell(f"{len(problems)} left out" if problems else "", problems, err)
    raise typer.Exit(SOME_FAILED if problems else 0)


def rescore(
    log: Annotated[
        Path, typer.Argument(help="A run's rollout_log/, or one file of it, of `eval run`, or of `refine` (results.jsonl).")
    ],
    data: Annotated[list[Path], typer.Option(help="Parquet file of the rows. Give it once for each file of the run.")],
    to: Annotated[
        Path, typer.Option("--out", help="The new log: a folder for a folder, a file for a file. A stopped run goes on.")
    ],
    judge: Judge = "local",
    task: Tasks = None,
    failed_only: Annotated[
        bool, typer.Option(help="Score only replies that could not be scored (scored_ok = 0). The others are copied.")
    ] = False,
    root: Root = None,
    retry_failed: Annotated[bool, typer.Option(help="Score again what this command could not score.")] = False,
    json_file: JsonFile = None,
) -> None:
    """Score the replies of a log again, and print how rewards, ranks inside groups and advantages change.

    Exit codes: 0 every reply was scored, 1 some were not, 2 wrong input.
    """
    from visual_erm import __version__
    from visual_erm.evaluate.rescore import rescore as rescore_all
    from visual_erm.evaluate.rows import DataRows, tasks_of
    from visual_erm.judge.endpoint import hide_login
    from visual_erm.spec.judge import load_judge_settings

    settings, tasks = load_judge_settings(judge), tasks_of(task or ())
    shown_judge = hide_login(judge) if "://" in judge else judge
    words = [f"visual-erm {__version__}", f"judge {shown_judge}", *(f"task {one}" for one in task or ())]
    found = rescore_all(
        log,
        DataRows(data, tasks, root),
        settings,
        to,
        name=", ".join([*words, *(["failed only"] if failed_only else [])]),
        judge_name=shown_judge,
        failed_only=failed_only,
        retry_failed=retry_failed,
        console=err,
    )
    _print_changes(found.changes)
    write_json(json_file, _plain(found.changes))
    done = found.summary
    tell(f"{done.done} written, {done.kept} kept, {len(done.failed)} failed: {to}", found.problems, err)
    raise typer.Exit(SOME_FAILED if done.failed or found.problems else 0)


def _print_changes(changes: Changes) -> None:
    def share(count: int, of: int) -> str:
        return f"{count} of {of}" + (f" ({100 * count / of:.1f} %)" if of else "")

    sums = changes.groups
    lines = [
        f"replies            {changes.replies} that both scorings could score",
        f"mean reward        {_number('', changes.before)} before, {_number('', changes.after)} after",
        f"rewards changed    {share(changes.changed, changes.replies)}, by {_number('', changes.mean_change)} on average",
        f"groups             {sums} of two replies or more",
        f"ranks in groups    Kendall's tau {_number('', changes.kendall)}, Spearman {_number('', changes.spearman)} "
        f"(mean of {changes.ranked} groups)",
        f"best changed       {share(changes.best_changed, sums)}",
        f"all rewards equal  {share(changes.equal_before, sums)} before, {share(changes.equal_after, sums)} after",
        f"GRPO advantages    changed by {_number('', changes.advantage_change)} on average, correlation "
        f"{_number('', changes.advantage_correlation)}, other sign {changes.advantage_sign}",
    ]
    for line in lines:
        out.print(line, markup=False, highlight=False, soft_wrap=True)


def _shown(name: str) -> str:
    """A name of a file in a cell of a table."""
    return escape(printable(name))


def _judge_of(run: str) -> str:
    return run.rpartition(" judged by ")[2]


def _words(names: set[str]) -> str:
    return " and ".join(sorted(names))


def _number(key: str, value: float, *, sign: bool = False) -> str:
    if math.isnan(value):
        return "-"
    if key == "rendered":
        return f"{100 * value:+.1f} %" if sign else f"{100 * value:.1f} %"
    return f"{value:+.3f}" if sign else f"{value:.3f}"


def _ends(key: str, ends: tuple[float, float], *, sign: bool = False) -> str:
    return "-" if math.isnan(ends[0]) else " to ".join(_number(key, end, sign=sign) for end in ends)


def _plain(found: Any) -> Any:
    from dataclasses import asdict

    from visual_erm.bench.scores import without_nan

    return without_nan(asdict(found))
