"""Edit distance, a text baseline: how alike two pieces of code are as texts.

    r = 1 - Levenshtein(reply's code, ground truth's code) / length of the longer one, in [0, 1]
    r = 0 for a reply without code

The normalised edit distance of table and document parsing (OmniDocBench, arXiv 2412.07626), turned round. Runs of white
space count as one blank; Markdown is turned into HTML first. Every row needs its code (`reward_model.ground_truth`).
Nothing is rendered.

    reward=edit_distance task=chart

    >>> import asyncio
    >>> async def example() -> float:
    ...     numbers = await compute_score("svg", "<svg><a/></svg>", "<svg><b/></svg>", {}, task="svg")
    ...     await close()
    ...     return round(numbers["score"], 2)
    >>> asyncio.run(example())  # doctest: +SKIP
    0.93
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from visual_erm.adapter import RewardFunction, Rollout
from visual_erm.adapter.baselines import TextScorer
from visual_erm.baselines.measures import EditDistance
from visual_erm.baselines.worker_pool import Workers


async def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: Any,
    extra_info: Mapping[str, Any],
    *,
    task: str | Mapping[str, Any],
    timeout_s: float = 10,
    failure: Mapping[str, Any] | None = None,
    rollout_log: str | None = None,
    reward_router_address: str | None = None,
    reward_model_tokenizer: Any = None,
) -> dict[str, float]:
    """Scores one rollout. `visual_erm.adapter` describes arguments, results and errors of every reward function.

    Args:
        data_source: See `visual_erm.adapter`, as for every argument that is not described here.
        solution_str: The policy's reply.
        ground_truth: Code in a language of the task.
        extra_info: Names the row in messages.
        task: The run's task or mixture.
        timeout_s: CPU seconds of one comparison; over it the rollout gets a neutral reward.
        failure: What a rollout gets that could not be scored.
        rollout_log: Folder of the rollout log.
        reward_router_address: Ignored.
        reward_model_tokenizer: Ignored.

    Returns:
        `score` in [0, 1], and the numbers behind it.
    """
    rollout = Rollout(data_source, solution_str, ground_truth, extra_info)
    return await REWARD.score(rollout, rollout_log, task=task, failure=failure, timeout_s=timeout_s)


def _scorer(task: Any, failure: Any, timeout_s: float) -> TextScorer:
    return TextScorer(task, failure, EditDistance(Workers(1, timeout_s)))


REWARD = RewardFunction(_scorer)
close = REWARD.close
