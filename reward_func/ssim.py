"""Structural similarity, a pixel baseline: how alike two images are, neighbourhood by neighbourhood.

    r = SSIM(image of the reply's code, reference), in [0, 1]; 0 for a reply whose code does not render

Wang et al., "Image quality assessment: from error visibility to structural similarity" (IEEE TIP 2004);
`visual_erm.baselines.ssim` has the details. Most of a table is white, so most of any table looks right to it.

    reward=ssim task=svg

    >>> import asyncio
    >>> from pathlib import Path
    >>> async def example() -> float:
    ...     row = {"reference": {"path": "examples/svg/reference.png"}}
    ...     numbers = await compute_score("svg", Path("examples/svg/reply.txt").read_text(), None, row, task="svg")
    ...     await close()
    ...     return numbers["score"]
    >>> asyncio.run(example())  # doctest: +SKIP
    1.0
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from visual_erm.adapter import RewardFunction, Rollout
from visual_erm.adapter.baselines import ImageScorer
from visual_erm.baselines.measures import Ssim
from visual_erm.training.reward_requirements import check_packages


async def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: Any,
    extra_info: Mapping[str, Any],
    *,
    task: str | Mapping[str, Any],
    longest_side: int = 1024,
    failure: Mapping[str, Any] | None = None,
    rollout_log: str | None = None,
    data_root: str | None = None,
    allow_outside_data_root: bool = False,
    reward_router_address: str | None = None,
    reward_model_tokenizer: Any = None,
) -> dict[str, float]:
    """Scores one rollout. `visual_erm.adapter` describes arguments, results and errors of every reward function.

    Args:
        data_source: See `visual_erm.adapter`, as for every argument that is not described here.
        solution_str: The policy's reply.
        ground_truth: Ignored.
        extra_info: Holds the reference image.
        task: The run's task or mixture.
        longest_side: Pixels; larger images are scaled down, both by the same factor.
        failure: What a rollout gets that could not be scored.
        rollout_log: Folder of the rollout log.
        data_root: Folder that the references' paths start from.
        allow_outside_data_root: Take references outside of it too.
        reward_router_address: Ignored.
        reward_model_tokenizer: Ignored.

    Returns:
        `score` in [0, 1], and the numbers behind it.
    """
    rollout = Rollout(data_source, solution_str, ground_truth, extra_info)
    return await REWARD.score(
        rollout,
        rollout_log,
        task=task,
        failure=failure,
        longest_side=longest_side,
        data_root=data_root,
        allow_outside=allow_outside_data_root,
    )


def _scorer(task: Any, failure: Any, longest_side: int, data_root: str | None, allow_outside: bool) -> ImageScorer:
    check_packages("ssim", ["skimage"])
    return ImageScorer(task, failure, Ssim(longest_side), data_root, allow_outside)


REWARD = RewardFunction(_scorer)
close = REWARD.close
