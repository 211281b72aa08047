"""The text of the request to revise an answer."""

from __future__ import annotations

from visual_erm.pipeline import RewardResult
from visual_erm.spec.task import Task


def feedback(result: RewardResult, task: Task) -> str:
    """Says what is wrong with an answer, worst first.

    Args:
        result: What became of the answer.
        task: Its task.

    Returns:
        The text.
    """
    found = sorted(result.report.discrepancies, key=lambda d: -d.severity) if result.report else []
    listed = [f"- {d.description}" for d in found] or [result.reason or "No difference was found."]
    return "\n".join(["What is wrong:", *listed, "", "Write the whole code again."])
