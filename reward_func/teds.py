"""TEDS, the paper's markup baseline: how alike two tables are as trees of cells.

    r = TEDS(reply's table, ground truth's table) = 1 - TED / max(|reply|, |truth|), in [0, 1]
    r = 0 for a reply without a table
    r is lower than TEDS, and guard_tag_stuffing is 1, where tags in the reply's cells raise TEDS by more than 0.1

Tree-Edit-Distance-based Similarity: Zhong et al., "Image-based table recognition: data, model, and evaluation" (arXiv
1911.10683), with the costs of their published code; `visual_erm.baselines.teds` has the definition. Markdown is turned into
HTML first. Every row needs its markup (`reward_model.ground_truth`). Nothing is rendered.

    reward=teds task=table

    >>> import asyncio
    >>> async def example() -> float:
    ...     table = "<table><tr><td>1</td></tr></table>"
    ...     numbers = await compute_score("table", table, table, {}, task="table")
    ...     await close()
    ...     return numbers["score"]
    >>> asyncio.run(example())  # doctest: +SKIP
    1.0
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from visual_erm.adapter import RewardFunction, Rollout
from visual_erm.adapter.baselines import TextScorer
from visual_erm.baselines.measures import Teds
from visual_erm.baselines.worker_pool import Workers
from visual_erm.training.reward_requirements import check_packages, check_tables


async def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: Any,
    extra_info: Mapping[str, Any],
    *,
    task: str | Mapping[str, Any],
    header_text: bool = True,
    timeout_s: float = 60,
    processes: int = 2,
    failure: Mapping[str, Any] | None = None,
    rollout_log: str | None = None,
    reward_router_address: str | None = None,
    reward_model_tokenizer: Any = None,
) -> dict[str, float]:
    """Scores one rollout. `visual_erm.adapter` describes arguments, results and errors of every reward function.

    Args:
        data_source: See `visual_erm.adapter`, as for every argument that is not described here.
        solution_str: The policy's reply.
        ground_truth: A table in HTML or Markdown.
        extra_info: Names the row in messages.
        task: The run's task or mixture.
        header_text: Whether the text of header cells (`th`) counts. The published code compares their tags alone.
        timeout_s: CPU seconds of one comparison; over it the rollout gets a neutral reward. A reply whose tree
            has over three times the elements of the ground truth is not compared: it gets 0.
        processes: Comparisons at once in one reward worker, a core each.
        failure: What a rollout gets that could not be scored.
        rollout_log: Folder of the rollout log.
        reward_router_address: Ignored.
        reward_model_tokenizer: Ignored.

    Returns:
        `score` in [0, 1], and the numbers behind it.
    """
    rollout = Rollout(data_source, solution_str, ground_truth, extra_info)
    return await REWARD.score(
        rollout, rollout_log, task=task, failure=failure, header_text=header_text, timeout_s=timeout_s, processes=processes
    )


def _scorer(task: Any, failure: Any, header_text: bool, timeout_s: float, processes: int) -> TextScorer:
    check_packages("teds", ["apted", "lxml"])
    scorer = TextScorer(task, failure, Teds(header_text, Workers(processes, timeout_s)))
    check_tables(scorer.tasks)
    return scorer


REWARD = RewardFunction(_scorer)
close = REWARD.close
