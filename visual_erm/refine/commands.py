"""The command `visual-erm refine`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Column, Table

from visual_erm.jobs.output import SOME_FAILED, print_table, tell, write_json

if TYPE_CHECKING:
    from visual_erm.refine.summary import RefineSummary

out = Console()
err = Console(stderr=True)

SUMMARY = "summary.json"


def refine(
    rows: Annotated[Path, typer.Argument(help="A parquet file of data_prep, a folder of pictures, or one picture.")],
    policy: Annotated[
        str, typer.Option(help="The policy: the URL of an OpenAI-compatible server, or the path of a YAML file.")
    ],
    to: Annotated[Path, typer.Option("--out", help="Folder for the results. A run that was stopped goes on from it.")],
    judge: Annotated[
        str,
        typer.Option(
            help="The judge: `local`, the URL of a server, or a YAML file. `none`: the policy looks at its render alone."
        ),
    ] = "local",
    rounds: Annotated[int, typer.Option(min=0, help="Revisions after the draft, at most.")] = 3,
    threshold: Annotated[
        float | None,
        typer.Option(help="Reward from which on a row is done. Default: only one without a difference is."),
    ] = None,
    patience: Annotated[
        int, typer.Option(min=1, help="Revisions in a row that improve nothing, after which a row is done.")
    ] = 2,
    history: Annotated[
        str,
        typer.Option(help="`fresh`: each revision is a prompt of its own with the best draft. `conversation`: a chat."),
    ] = "fresh",
    task: Annotated[
        str | None, typer.Option(help="Task of the rows: a name or a YAML file. Default: that which each row names.")
    ] = None,
    prompt: Annotated[
        str | None, typer.Option(help="For pictures: what the policy is asked. `<image>` is the place of the picture.")
    ] = None,
    root: Annotated[
        Path | None, typer.Option(help="Folder of the reference images. Default: that of the parquet file.")
    ] = None,
    retry_failed: Annotated[
        bool, typer.Option(help="Refine rows again for which policy, judge or renderer failed.")
    ] = False,
) -> None:
    """Let a policy write code, look at its render and the judge's report, and revise. The best round wins.

    Exit codes: 0 every row has a result, 1 some have none, 2 wrong input.
    """
    from visual_erm.jobs.rows import JobRow, read_rows
    from visual_erm.judge.endpoint import hide_login
    from visual_erm.refine.inputs import open_inputs
    from visual_erm.refine.loop import NO_JUDGE, RefineSettings
    from visual_erm.refine.run import RESULTS, run
    from visual_erm.refine.summary import summarize
    from visual_erm.spec.base import validate
    from visual_erm.spec.judge import load_judge_settings
    from visual_erm.spec.policy import load_policy_settings
    from visual_erm.spec.task import load_tasks

    given = {"rounds": rounds, "threshold": threshold, "patience": patience, "history": history}
    settings = validate(RefineSettings, given, "refine")
    served = load_policy_settings(policy)
    judged = None if judge == NO_JUDGE else load_judge_settings(judge)
    inputs = open_inputs(rows, load_tasks(task) if task else None, prompt, root)
    names = {key: hide_login(value) if "://" in value else value for key, value in (("policy", policy), ("judge", judge))}
    done = run(
        inputs,
        served,
        judged,
        to,
        settings,
        policy_name=names["policy"],
        judge_name=names["judge"],
        retry_failed=retry_failed,
        console=err,
    )
    summary = summarize(read_rows(to / RESULTS, JobRow)[0])
    _print(summary)
    write_json(to / SUMMARY, asdict(summary))
    tell(f"{done.done} refined, {done.kept} kept, {len(done.failed)} failed: {to / RESULTS}", inputs.problems, err)
    raise typer.Exit(SOME_FAILED if summary.failed or inputs.problems else 0)


def _print(summary: RefineSummary) -> None:
    if not summary.rounds:
        return
    shown = Table(Column("round", no_wrap=True), "items", "rendered", "reward", "best reward so far")
    for number, one in enumerate(summary.rounds):
        rewards = ("" if value is None else f"{value:.3f}" for value in (one.reward, one.best_reward))
        shown.add_row(str(number) if number else "draft", str(one.items), f"{100 * one.rendered:.1f} %", *rewards)
    print_table(shown, out)
    if summary.rounds[0].reward is not None:
        out.print(
            f"{summary.improved} improved by a revision, {summary.kept} kept their draft, {summary.drafts} needed none; "
            f"{summary.worsened} would be worse if the last round won",
            highlight=False,
            soft_wrap=True,
        )
    ended = ", ".join(f"{name} {count}" for name, count in summary.ended.items())
    out.print(f"ended: {ended}", highlight=False, soft_wrap=True)
    out.print(f"{summary.prompt_tokens:,} prompt and {summary.reply_tokens:,} reply tokens", highlight=False)
