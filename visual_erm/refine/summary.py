"""What revising gained, over all rows of a file of results.

summary = summarize(rows)
summary.rounds[3].best_reward - summary.rounds[0].best_reward    # what three revisions gained
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import fmean
from typing import Any

from visual_erm.jobs.rows import JobRow


@dataclass(frozen=True)
class RoundSummary:
    """One round over all rows."""

    items: int
    """Rows that had this round. The others were done before."""
    rendered: float
    """Share of these whose code rendered."""
    reward: float | None
    """Mean reward of these in this round. None: nothing was judged."""
    best_reward: float | None
    """Mean over all rows of the best reward up to this round: what a row gets if no further round is asked for."""


@dataclass
class RefineSummary:
    """What became of all rows that have a result."""

    items: int = 0
    failed: int = 0
    """Rows without a result; they count for nothing else."""
    rounds: list[RoundSummary] = field(default_factory=list)
    """The draft first."""
    improved: int = 0
    """Rows of which a revision wins."""
    kept: int = 0
    """Rows whose draft wins over one revision or more."""
    worsened: int = 0
    """Rows whose last revision has a lower reward than the draft: these would lose if the last round won."""
    drafts: int = 0
    """Rows of which no revision was asked for."""
    ended: dict[str, int] = field(default_factory=dict)
    """Why no further revision was asked for -> number of rows."""
    prompt_tokens: int = 0
    reply_tokens: int = 0


def summarize(rows: Sequence[JobRow]) -> RefineSummary:
    """Sums up a file of results.

    Args:
        rows: Its rows.

    Returns:
        The summary. Without a judge, only what renders is known: rewards are None, and no row is improved or kept.
    """
    done = [row.content for row in rows if not row.failed]
    found = RefineSummary(len(done), len(rows) - len(done))
    if not done:
        return found
    longest = max(len(row["rounds"]) for row in done)
    found.rounds = [_round(done, number) for number in range(longest)]
    found.ended = dict(Counter(row["ended"] for row in done).most_common())
    found.drafts = sum(len(row["rounds"]) == 1 for row in done)
    found.prompt_tokens = sum(row["prompt_tokens"] for row in done)
    found.reply_tokens = sum(row["reply_tokens"] for row in done)
    if found.rounds[0].reward is not None:
        found.improved = sum(row["best_round"] > 0 for row in done)
        found.kept = len(done) - found.improved - found.drafts
        found.worsened = sum(row["rounds"][-1]["reward"] < row["rounds"][0]["reward"] for row in done)
    return found


def _round(done: Sequence[dict[str, Any]], number: int) -> RoundSummary:
    own = [row["rounds"][number] for row in done if len(row["rounds"]) > number]
    rewards = [one["reward"] for one in own]
    rendered = fmean(one["rendered"] for one in own)
    if None in rewards:
        return RoundSummary(len(own), rendered, None, None)
    best = [max(one["reward"] for one in row["rounds"][: number + 1]) for row in done]
    return RoundSummary(len(own), rendered, fmean(rewards), fmean(best))
