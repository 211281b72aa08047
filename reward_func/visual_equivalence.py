"""The visual-equivalence reward, the paper's own: what a judge reports of reference and render.

    S = sum of the severities (1 to 3) of the discrepancies that the judge reports
    r = r_render + clip(1 - S / S_max, 0, 1); 0 for a reply whose code does not render

This is the paper's Eq. 3-5 under `scoring.mode: fixed`; `visual_erm.reward.scoring.reward` has the other modes.

    reward=visual_erm task=table judge=local

    >>> import asyncio
    >>> from pathlib import Path
    >>> async def example() -> float:
    ...     row = {"reference": {"path": "examples/table/reference.png"}}
    ...     reply = Path("examples/table/reply.txt").read_text()
    ...     numbers = await compute_score("table", reply, None, row, task="table", judge="local")
    ...     await close()
    ...     return numbers["score"]
    >>> asyncio.run(example())  # doctest: +SKIP
    2.0
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from visual_erm.adapter import RewardFunction, Rollout
from visual_erm.adapter.visual import VisualScorer

REWARD = RewardFunction(VisualScorer)
close = REWARD.close


async def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: Any,
    extra_info: Mapping[str, Any],
    *,
    task: str | Mapping[str, Any],
    judge: str | Mapping[str, Any] = "local",
    rollout_log: str | None = None,
    data_root: str | None = None,
    allow_outside_data_root: bool = False,
    reward_router_address: str | None = None,
    reward_model_tokenizer: Any = None,
) -> dict[str, Any]:
    """Scores one rollout. `visual_erm.adapter` describes arguments, results and errors of every reward function.

    Args:
        data_source: See `visual_erm.adapter`, as for every argument that is not described here.
        solution_str: The policy's reply.
        ground_truth: Ignored.
        extra_info: Holds the reference image.
        task: The run's task or mixture.
        judge: Judge settings, by name, URL, file or mapping.
        rollout_log: Folder of the rollout log.
        data_root: Folder that the references' paths start from.
        allow_outside_data_root: Take references outside of it too.
        reward_router_address: Host and port of the reward model that veRL runs itself, for `judge: colocated`.
        reward_model_tokenizer: Ignored.

    Returns:
        `score`, and the numbers behind it. Under agent=refine, of one turn also the turn.
    """
    rollout = Rollout(data_source, solution_str, ground_truth, extra_info)
    return await REWARD.score(
        rollout,
        rollout_log,
        task=task,
        judge=judge,
        data_root=data_root,
        router=reward_router_address,
        allow_outside=allow_outside_data_root,
    )
