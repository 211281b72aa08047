"""DINO similarity, the paper's embedding baseline: how alike two images are in the features of a vision model.

    r = clip(cos(f(image of the reply's code), f(reference)), 0, 1); 0 for a reply whose code does not render

f is the feature of a whole image of a DINOv2 (Oquab et al., arXiv 2304.07193) or DINOv3 (Siméoni et al., arXiv 2508.10104)
checkpoint: its pooled output, or its class token. Each image is scaled to fit into a white square of the checkpoint's own
size; nothing is cropped. Images of all samples in flight share forward passes, in one thread beside the event loop.

    reward=dino_similarity reward.custom_reward_function.reward_kwargs.model=/models/dinov2-large

    >>> import asyncio
    >>> from pathlib import Path
    >>> async def example() -> float:
    ...     row, reply = {"reference": {"path": "examples/svg/reference.png"}}, Path("examples/svg/reply.txt").read_text()
    ...     numbers = await compute_score("svg", reply, None, row, task="svg", model="/models/dinov2-large")
    ...     await close()
    ...     return round(numbers["score"], 3)
    >>> asyncio.run(example())  # doctest: +SKIP
    1.0
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from visual_erm.adapter import RewardFunction, Rollout
from visual_erm.adapter.baselines import ImageScorer
from visual_erm.baselines.dino import Dino
from visual_erm.training.reward_requirements import check_packages


async def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: Any,
    extra_info: Mapping[str, Any],
    *,
    task: str | Mapping[str, Any],
    model: str,
    device: str = "auto",
    batch_size: int = 32,
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
        model: Folder of a DINOv2 or DINOv3 checkpoint, or its name on the Hugging Face hub.
        device: As torch names it; `auto`: `cuda` where the reward worker sees one, else `cpu`.
        batch_size: Images of one forward pass, at most.
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
        model=model,
        device=device,
        batch_size=batch_size,
        data_root=data_root,
        allow_outside=allow_outside_data_root,
    )


def _scorer(
    task: Any, failure: Any, model: str, device: str, batch_size: int, data_root: str | None, allow_outside: bool
) -> ImageScorer:
    check_packages("dino_similarity", ["torch", "transformers"])
    return ImageScorer(task, failure, Dino(model, device, batch_size), data_root, allow_outside)


REWARD = RewardFunction(_scorer)
close = REWARD.close
