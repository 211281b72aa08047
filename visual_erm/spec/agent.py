"""Settings of an agent loop: how often the policy may revise its answer, and which answer is rewarded.

Validated from configs/agent/refine.yaml and the command line; `visual_erm.training.refine_loop` runs by them.

    settings = load_agent_settings({"name": "refine", "turns": 2, "reward": "best"})
    settings.answer_length(8192)  # 3072
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field

from visual_erm.spec.base import Settings, validate

MIN_FEEDBACK = 64
"""Tokens: less would hold no report."""


class AgentSettings(Settings):
    """Reflect and revise, as configs/agent/refine.yaml describes it."""

    name: Literal["refine"] = "refine"
    turns: Annotated[int, Field(ge=2, le=16)] = 2
    """Answers of the policy at most."""
    reward: Literal["best", "last"] = "best"
    """The answer whose reward the rollout gets: the one with the highest reward, or the last."""
    threshold: float | None = None
    """Reward from which on an answer is not revised; null: every answer but the last is."""
    feedback_length: Annotated[int, Field(ge=MIN_FEEDBACK)] = 2048
    """Tokens between two answers at most: the report, and the picture of what the code renders to."""

    def answer_length(self, response_length: int) -> int:
        """Computes how long each answer may be.

        Args:
            response_length: Tokens of a rollout without its prompt, at most: all answers, and all that is between them.

        Returns:
            Tokens; 0 or less where the response has no room for the answers.
        """
        return (response_length - (self.turns - 1) * self.feedback_length) // self.turns

    def response_length(self, answer_length: int) -> int:
        """Computes the response that holds answers of a length, the inverse of `answer_length`.

        Args:
            answer_length: Tokens of one answer.

        Returns:
            Tokens of a rollout without its prompt.
        """
        return self.turns * answer_length + (self.turns - 1) * self.feedback_length


def load_agent_settings(content: Mapping[str, Any]) -> AgentSettings:
    """Reads the settings of a run.

    Args:
        content: The configuration's part `agent`.

    Returns:
        The settings.

    Raises:
        ConfigError: One of them is wrong.
    """
    return validate(AgentSettings, content, "agent")
