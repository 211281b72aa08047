"""Prints the outcomes of checks: one line each as it is done, then the problems with their fixes; or all of it as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence

from rich.console import Console
from rich.markup import escape
from rich.text import Text

from visual_erm.preflight.findings import Outcome

SLOW_S = 2.0
"""Seconds from which on the line of a check has its time."""


def line(outcome: Outcome) -> str:
    """Writes the line of one check.

    Args:
        outcome: The outcome of the check.

    Returns:
        The line, in rich's markup.
    """
    took = f" [dim]{outcome.seconds:.0f} s[/]" if outcome.seconds > SLOW_S else ""
    notes = escape("; ".join(dict.fromkeys(filter(None, outcome.notes))))
    if outcome.skipped:
        return f"[dim]- {outcome.title}: waits for {escape(', '.join(outcome.skipped))}[/]"
    if outcome.failure:
        return f"[red]✗[/] {outcome.title}: could not be done{took}"
    if outcome.problems:
        count = len(outcome.problems)
        return f"[red]✗[/] {outcome.title}: {count} problem{'s' if count > 1 else ''}{took}"
    if outcome.warnings:
        return f"[yellow]![/] {outcome.title}: {escape(' | '.join(map(str, outcome.warnings)))}{took}"
    return f"[green]✓[/] {outcome.title}{f'  [dim]{notes}[/]' if notes else ''}{took}"


def print_report(outcomes: Sequence[Outcome], console: Console) -> None:
    """Prints the problems with their fixes, and the checks that failed themselves.

    Args:
        outcomes: The outcomes of all checks.
        console: Where to print.
    """
    for outcome in outcomes:
        if outcome.failure:
            console.print(
                f"[red]{outcome.title} could not be done[/], an error of the check itself: {escape(outcome.failure)}",
                soft_wrap=True,
            )
    problems = [problem for outcome in outcomes for problem in outcome.problems]
    for problem in problems:
        # As Text: markup would take `:key:` for an emoji, and a backslash before a bracket away.
        console.print(Text.assemble("\n", (problem.key, "bold red"), f"\n  {problem.what}"), soft_wrap=True)
        console.print(Text.assemble(("  fix:", "green"), f" {problem.fix}"), soft_wrap=True)


def last_line(outcomes: Sequence[Outcome]) -> str:
    """Writes everything in one line, for logs.

    Args:
        outcomes: The outcomes of all checks.

    Returns:
        The whole problem where there is one; the keys where there are several; empty where all is well.
    """
    problems = [problem for outcome in outcomes for problem in outcome.problems]
    if not problems:
        return next((f"{outcome.title}: {outcome.failure}" for outcome in outcomes if outcome.failure), "")
    if len(problems) == 1:
        return str(problems[0])
    return f"{len(problems)} problems: {', '.join(dict.fromkeys(problem.key for problem in problems))}"


def as_json(outcomes: Sequence[Outcome]) -> str:
    """Writes the checks and every problem for scripts.

    Args:
        outcomes: The outcomes of all checks.

    Returns:
        A JSON object with `ok`, `problems`, `warnings` and `checks`.
    """
    problems = [vars(problem) for outcome in outcomes for problem in outcome.problems]
    warnings = [vars(warning) for outcome in outcomes for warning in outcome.warnings]
    checks = [
        {
            "check": outcome.title,
            "state": _state(outcome),
            "looked_at": list(outcome.notes),
            "failure": outcome.failure,
            "seconds": round(outcome.seconds, 2),
        }
        for outcome in outcomes
    ]
    return json.dumps(
        {"ok": all(o.ok for o in outcomes), "problems": problems, "warnings": warnings, "checks": checks},
        indent=2,
        ensure_ascii=False,
    )


def _state(outcome: Outcome) -> str:
    for state in ("skipped", "failure", "problems", "warnings"):
        if getattr(outcome, state):
            return "failed" if state == "failure" else state
    return "ok"
