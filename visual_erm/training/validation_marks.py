"""Marks each prompt before its rollouts start: is it veRL's validation, or training?

veRL says so of a whole batch of prompts, and does not hand it on to the reward function. A row's own `extra_info.split` may
say anything. So this manager writes veRL's word into `extra_info.validate` of each row, where the rollout log finds it.

    actor_rollout_ref.rollout.agent.agent_loop_manager_class=visual_erm.training.validation_marks.MarkingAgentLoopManager
"""

from __future__ import annotations

from typing import Any

from visual_erm.reward.rollout_log import VALIDATE
from visual_erm.training.verl_internals import AgentLoopManagerTQ, assign_non_tensor_stack, get_value


class MarkingAgentLoopManager(AgentLoopManagerTQ):
    """veRL's own manager of rollouts, which marks the prompts."""

    def generate_sequences(self, prompts: Any) -> None:
        """Marks the prompts and starts their rollouts.

        Args:
            prompts: veRL's batch of prompts, which is changed.
        """
        mark(prompts)
        super().generate_sequences(prompts)


def mark(prompts: Any) -> None:
    """Writes into each row's `extra_info` whether veRL validates with it.

    Args:
        prompts: veRL's batch of prompts, which is changed.
    """
    validate = bool(get_value(prompts, "validate", False))
    rows = get_value(prompts, "extra_info", None) or [None] * len(prompts)
    assign_non_tensor_stack(prompts, "extra_info", [{**(row or {}), VALIDATE: validate} for row in rows])
