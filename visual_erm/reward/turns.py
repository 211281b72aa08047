"""Several turns of one rollout: what passes between the agent loop and the reward function, and which turn is rewarded.

Under `agent=refine` the policy answers, sees what came of it, and answers again. The loop
(`visual_erm.training.refine_loop`) has each answer scored by a call of its own, with `extra_info[ASKED]`. Such a call
writes no line to the rollout log, and returns the `Turn` beside the numbers. When the last answer is scored, one more call,
with the `Turns` in `extra_info[ENDED]`, scores nothing: it writes the rollout's one line and returns its numbers.

    turns = Turns((first, second), "best")
    turns.rewarded.score, turns.numbers()["refine_turns"]
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from PIL import Image

ASKED = "refine_asked"
"""Entry of `extra_info`: the call scores one turn of several. The result has the `Turn` under the same name."""
ENDED = "refine_ended"
"""Entry of `extra_info`: the `Turns` of a rollout that has ended."""
SUMMED = ("judge_",)
"""Beginnings of the names of numbers that are summed over the turns: the rollout's own cost."""


@dataclass(frozen=True)
class Turn:
    """An answer of the policy, and what came of it."""

    reply: str
    numbers: Mapping[str, float]
    """What the reward function returned for it."""
    details: Mapping[str, Any] = field(default_factory=dict)
    """Further entries for the rollout log."""
    feedback: str = ""
    """What the policy is told before it answers again; empty where there is nothing to tell, because the infrastructure
    failed."""
    image: Image.Image | None = field(default=None, repr=False)
    """What the code renders to."""

    @property
    def score(self) -> float:
        """The reward of this answer by itself."""
        return float(self.numbers["score"])

    @property
    def scored(self) -> bool:
        """Whether the reward is the answer's own, and not a neutral one."""
        return bool(self.numbers.get("scored_ok", 1.0))

    def logged(self, shown: bool) -> Turn:
        """Returns the turn as the rollout log needs it.

        Args:
            shown: Whether the policy was told the feedback.

        Returns:
            The turn without image, and without a feedback that nobody saw.
        """
        return replace(self, image=None, feedback=self.feedback if shown else "")

    def entry(self) -> dict[str, Any]:
        """Returns its entry in the rollout's line of the log."""
        told = {"feedback": self.feedback} if self.feedback else {}
        return {"reply": self.reply, "score": self.score, **self.details, **told}


@dataclass(frozen=True)
class Turns:
    """The turns of a rollout that has ended."""

    turns: tuple[Turn, ...]
    """At least one."""
    reward: Literal["best", "last"]

    @property
    def rewarded(self) -> Turn:
        """The turn whose reward the rollout gets.

        `last`: the last one. `best`: the first of those with the highest reward. A neutral reward stands for a failure of
        the infrastructure: it counts only if no turn has a reward of its own.
        """
        scored = [turn for turn in self.turns if turn.scored]
        if self.reward == "last" or not scored:
            return self.turns[-1]
        return max(scored, key=lambda turn: turn.score)

    def numbers(self) -> dict[str, float]:
        """Returns the rollout's numbers: those of the rewarded turn, with the cost of all, and what the turns changed."""
        rewarded = self.rewarded
        summed = {
            name: round(sum(float(turn.numbers.get(name, 0.0)) for turn in self.turns), 2)
            for name in rewarded.numbers
            if name.startswith(SUMMED) or name.endswith("_ms")
        }
        return {
            **rewarded.numbers,
            **summed,
            "refine_turns": float(len(self.turns)),
            "refine_rewarded_turn": float(next(i for i, turn in enumerate(self.turns, 1) if turn is rewarded)),
            "refine_first_score": self.turns[0].score,
            "refine_last_score": self.turns[-1].score,
        }

    def details(self) -> dict[str, Any]:
        """Returns the further entries of the rollout's line: those of the rewarded turn, and all turns."""
        return {**self.rewarded.details, "turns": [turn.entry() for turn in self.turns]}
