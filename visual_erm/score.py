"""Report -> reward: pure arithmetic, the last arrow of the path."""

from __future__ import annotations

from visual_erm.task import Scoring


def reward(severity: float, scoring: Scoring) -> float:
    """Reward of a sample whose code rendered and whose report sums up to `severity` (S, 0 or more).

    `fixed`: r = r_render + clip(1 - S / S_max, 0, 1), in [r_render, r_render + 1] (paper, Eq. 4-5, S_max constant).
    `raw`: r = max(-S, raw_minimum), in [raw_minimum, 0] (the published table recipe, with a floor).

    >>> reward(25, Scoring(mode="fixed", s_max=50, render_reward=1))
    1.5
    >>> reward(5, Scoring(mode="raw"))
    -5.0
    """
    if scoring.mode == "raw":
        return max(-float(severity), scoring.raw_minimum)
    return scoring.render_reward + min(max(1 - severity / scoring.s_max, 0.0), 1.0)


def minimum(scoring: Scoring) -> float:
    """Reward of a sample without a picture: 0 under `fixed`, `raw_minimum` under `raw`; never above any `reward(S)`."""
    return scoring.raw_minimum if scoring.mode == "raw" else 0.0
