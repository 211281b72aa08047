"""The paper's batch-normalised reward (Eq. 3) as a reward manager for veRL; `scoring.mode: batch` in a task brings it in.

    reward.reward_manager={source: importlib, name: BatchRewardManager, module: {path: reward_func/batch_manager.py}}

The largest severity of a batch is known once all of it is judged. Where veRL scores a batch as a whole, this manager
normalises it. In training veRL 0.9 scores each rollout as soon as it is written and calls no manager for the batch: there
`visual_erm.training.replay_buffer` does the same, when it hands out a step. Both use
`visual_erm.reward.scoring.batch_rewards`.

Rows of a validation keep the reward of their task's constant s_max: tests are compared over a run, and with other runs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from visual_erm.data.row_contract import task_of
from visual_erm.reward.rollout_log import is_validation
from visual_erm.reward.scoring import DeferredReward, ScoredSample, batch_rewards
from visual_erm.spec.base import plain
from visual_erm.spec.task import load_tasks
from visual_erm.training.verl_internals import DataProto, NaiveRewardManager


class BatchRewardManager(NaiveRewardManager):
    """Scores as veRL's own manager does, except that a batch is scored together."""

    def __init__(self, config: Any, *arguments: Any, **keywords: Any) -> None:
        super().__init__(config, *arguments, **keywords)
        self._tasks = load_tasks(plain(config.reward.custom_reward_function.reward_kwargs.task))

    async def run_single(self, data: DataProto) -> dict[str, Any]:
        """Scores one sample.

        Args:
            data: A batch of one sample.

        Returns:
            The result of veRL's own manager, with a DeferredReward where the batch decides.
        """
        result: dict[str, Any] = await super().run_single(data)
        row = data[-1].non_tensor_batch
        extra_info = row.get("extra_info") or {}
        name = task_of(self._tasks, row["data_source"], f"row {extra_info.get('index', '?')}")
        if not is_validation(extra_info):
            numbers = result["reward_extra_info"]
            result["reward_score"] = DeferredReward(ScoredSample.from_numbers(numbers, name, self._tasks[name].scoring))
        return result

    @classmethod
    def assemble_rm_scores(cls, data: DataProto, scores: Sequence[float]) -> torch.Tensor:
        """Puts the rewards of a batch in place.

        Args:
            data: The batch.
            scores: What `run_single` found for each sample.

        Returns:
            Rewards, (samples, response length): each at the last token of its response, 0 elsewhere.
        """
        together = iter(batch_rewards([score.sample for score in scores if isinstance(score, DeferredReward)]))
        return super().assemble_rm_scores(
            data, [next(together) if isinstance(score, DeferredReward) else score for score in scores]
        )
