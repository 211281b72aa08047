"""`NeutralFallback`: what a rollout gets whose scoring failed, and when failures must stop the run.

Every pipeline hands its failures to `end`, which is the one place that turns them into a result.

    try:
        ...
        fallback.record_success(severity)
    except (PolicyFault, InfrastructureError) as fault:
        ending = fallback.end(fault)            # raises when the run must stop
"""

from __future__ import annotations

import logging
import math
from collections import Counter, deque
from dataclasses import dataclass

from visual_erm.errors import InfrastructureError, PolicyFault, TooManyFailures
from visual_erm.reward.outcome import Outcome
from visual_erm.spec.judge import FailurePolicy

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Ending:
    """What a failure means for its rollout."""

    outcome: Outcome
    reason: str
    """Type and message of the failure."""
    neutral: float | None
    """Stands in for the rollout's own value; None when the policy is at fault and gets the minimum reward."""


class NeutralFallback:
    """The recent rollouts of one task: their mean is what a rollout gets that could not be scored.

    Args:
        policy: What to do about failures: the window, the largest share of failures, or `abort`.
        neutral: The value while the window holds no success, in the unit of `record_success`.
        worst: The largest value that counts: a larger one counts as this one, so that one rollout does not set the mean.
    """

    def __init__(self, policy: FailurePolicy, neutral: float, worst: float = math.inf) -> None:
        self._policy = policy
        self._neutral = neutral
        self._worst = worst
        self._values: deque[float] = deque(maxlen=policy.window)
        self._failures: deque[str | None] = deque(maxlen=policy.window)

    def record_success(self, value: float) -> None:
        """Notes a rollout that was scored.

        Args:
            value: Its severity on the task's scale, or its similarity where a baseline scores.
        """
        self._values.append(min(value, self._worst))
        self._failures.append(None)

    def record_failure(self, fault: InfrastructureError) -> float:
        """Notes a rollout that could not be scored.

        Args:
            fault: Why. Its `stage` is counted.

        Returns:
            The value that stands in for its own: the mean of the recent ones, or `neutral` before there is one.

        Raises:
            InfrastructureError: `fault` itself, under `on_failure: abort`.
            TooManyFailures: Failures are more than `max_failure_share` of `window`. It names the stage of most.
        """
        if self._policy.on_failure == "abort":
            raise fault
        self._failures.append(fault.stage or type(fault).__name__)
        stages = Counter(stage for stage in self._failures if stage is not None)
        failures = stages.total()
        if failures > self._policy.max_failure_share * self._policy.window:
            stage, count = stages.most_common(1)[0]
            raise TooManyFailures(
                f"{failures} of the last {len(self._failures)} samples could not be scored, {count} of them because of the "
                f"stage `{stage}`. `failure` allows a share of {self._policy.max_failure_share:g} of "
                f"{self._policy.window}. The last failure: {type(fault).__name__}: {fault}"
            ) from fault
        return sum(self._values) / len(self._values) if self._values else self._neutral

    def end(self, fault: PolicyFault | InfrastructureError) -> Ending:
        """Says what a failure means for its rollout.

        Args:
            fault: What a stage raised.

        Returns:
            The minimum reward for a fault of the policy, a neutral value for any other.

        Raises:
            InfrastructureError: The run must stop, see `record_failure`.
        """
        reason = f"{type(fault).__name__}: {fault}"
        if isinstance(fault, PolicyFault):
            return Ending(Outcome.of(fault), reason, None)
        log.warning("not scored: %s", reason)
        return Ending(Outcome.of(fault), reason, self.record_failure(fault))
