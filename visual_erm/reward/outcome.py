"""`Outcome`: why the scoring of a rollout ended, the same words in results, in the rollout log and in veRL's metrics.

Outcome.of(NoCodeError("…"))                # Outcome.NO_CODE
Outcome.SCORED.numbers()["outcome_scored"]  # 1.0
"""

from __future__ import annotations

from enum import Enum

from visual_erm import errors


class Outcome(str, Enum):
    """Why the scoring of a rollout ended."""

    SCORED = "scored"
    """The reward is the rollout's own."""
    REJECTED = "rejected"
    """A guard found the code or its image worth nothing; `guard_<name>` says which. The rollout gets the minimum reward."""

    NO_CODE = "no_code"
    """The reply holds no code in any of the task's languages: the minimum reward."""
    RENDER_FAILED = "render_failed"
    """The code raised or is malformed: the minimum reward."""
    RENDER_LIMIT = "render_limit"
    """The code went over its own limit of time, memory or pixels: the minimum reward."""
    BLANK = "blank"
    """The code ran and showed next to nothing: the minimum reward."""
    ILLEGIBLE = "illegible"
    """The image cannot be compared because of its own shape, size of print or cost: the minimum reward."""
    TAMPERING = "tampering"
    """The code reached for the reference, the judge or the sandbox: the minimum reward, and a flag."""

    RENDERER_UNAVAILABLE = "renderer_unavailable"
    """The browser or the sandbox failed: a neutral reward."""
    REFERENCE_UNAVAILABLE = "reference_unavailable"
    """The reference image is missing or cannot be read: a neutral reward."""
    JUDGE_UNAVAILABLE = "judge_unavailable"
    """No endpoint answered in time: a neutral reward."""
    JUDGE_UNREADABLE = "judge_unreadable"
    """The judge's answer holds no report: a neutral reward."""
    COMPARISON_FAILED = "comparison_failed"
    """A baseline's comparison took too long or lost its process: a neutral reward."""
    STAGE_FAILED = "stage_failed"
    """A stage raised an exception that nobody expected: a neutral reward, and a traceback in the log."""

    @classmethod
    def of(cls, fault: errors.PolicyFault | errors.InfrastructureError) -> Outcome:
        """Returns the outcome that an exception of the path stands for.

        Args:
            fault: What a stage raised. An exception without an outcome of its own counts as its nearest base that has
                one: RENDER_FAILED for a fault of the policy, STAGE_FAILED for one of the infrastructure.

        Returns:
            The outcome.
        """
        return next(_OUTCOMES[kind] for kind in type(fault).__mro__ if kind in _OUTCOMES)

    def numbers(self) -> dict[str, float]:
        """Returns `outcome_<name>` for every outcome: 1 for this one, 0 for the others. Their means are shares."""
        return {f"outcome_{outcome.value}": float(outcome is self) for outcome in Outcome}


_OUTCOMES: dict[type, Outcome] = {
    errors.NoCodeError: Outcome.NO_CODE,
    errors.RenderLimit: Outcome.RENDER_LIMIT,
    errors.BlankImage: Outcome.BLANK,
    errors.Illegible: Outcome.ILLEGIBLE,
    errors.RasterImage: Outcome.REJECTED,
    errors.Tampering: Outcome.TAMPERING,
    errors.PolicyFault: Outcome.RENDER_FAILED,
    errors.RendererUnavailable: Outcome.RENDERER_UNAVAILABLE,
    errors.ReferenceUnavailable: Outcome.REFERENCE_UNAVAILABLE,
    errors.JudgeUnavailable: Outcome.JUDGE_UNAVAILABLE,
    errors.JudgeUnreadable: Outcome.JUDGE_UNREADABLE,
    errors.ComparisonFailed: Outcome.COMPARISON_FAILED,
    errors.InfrastructureError: Outcome.STAGE_FAILED,
}
