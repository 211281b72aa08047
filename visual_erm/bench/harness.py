"""VC-RewardBench inside other projects' evaluation: what a model is asked about a pair, and the figures of its replies.

    text = question("table")
    figures = figures_of([(row, reply), …], model="mine")

`contrib/vlmevalkit` and `contrib/lmms_eval` use it. The figures are those of `visual-erm bench score`.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from visual_erm.bench.match import OFFLINE, match
from visual_erm.bench.published import read_reply
from visual_erm.bench.rows import Row, read_rows
from visual_erm.bench.scores import score
from visual_erm.errors import ConfigError
from visual_erm.spec.judge import load_judge_settings
from visual_erm.spec.prompts import evaluation_prompt, imported
from visual_erm.spec.task import load_task


def question(category: str) -> str:
    """Finds the text that a model is asked with; the reference image and the predicted one go with it, in this order.

    Args:
        category: `table`, `chart` or `svg`.

    Returns:
        The prompt of the published evaluation where `visual-erm prompts import` has read it, else that of the task.

    Raises:
        ConfigError: An imported text is not what was imported.
    """
    return imported(evaluation_prompt(category)) or load_task(category).judge.prompt


def figures_of(
    replies: Iterable[tuple[Mapping[str, Any], str]], model: str, matcher: str = OFFLINE
) -> dict[str, dict[str, float]]:
    """Matches and scores the replies of a model.

    Args:
        replies: Rows as published, each with the model's reply.
        model: Name of the model.
        matcher: `offline`, or the path of a judge's YAML file that names the servers of a model that matches.

    Returns:
        By group (`all`, `table`, `chart`, `svg`): `f1_hard`, `f1_soft`, `severity_correlation` (NaN where there is none),
        `items` and `unreadable` (replies that were not read).

    Raises:
        ConfigError: No item was matched.
        JudgeUnavailable: The matcher's servers do not answer.
    """
    rows = []
    for number, (row, reply) in enumerate(replies, 1):
        report, unread = read_reply(reply)
        said = {"pred_json": report, "error_parse_failed_reason": unread or None, "judge": model}
        rows.append(Row(f"reply {number}", {**row, **said}))
    settings = None if matcher == OFFLINE else load_judge_settings(matcher)
    with tempfile.TemporaryDirectory(prefix="verm-bench-") as folder:
        to = Path(folder) / "matches.jsonl"
        match(rows, to, settings)
        scores = score(read_rows(to)[0])
    if not scores.groups:
        raise ConfigError(f"no item was matched; {scores.left_out[0]}")
    return {
        name: {
            "f1_hard": group.figures.f1_hard,
            "f1_soft": group.figures.f1_soft,
            "severity_correlation": group.figures.severity_correlation,
            "items": group.figures.items,
            "unreadable": group.unreadable,
        }
        for name, group in scores.groups.items()
    }
