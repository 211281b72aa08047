"""Two images -> Report: judges behind one protocol, and the factory that makes one from its settings.

The stage of the path after rendering. `visual_erm.testing.judge_conformance` checks what the protocol promises.

    judge = make_judge(load_judge_settings("local"))
    report = await judge.judge(reference, prediction, load_task("table"))
    await judge.close()
"""

from __future__ import annotations

from typing import Protocol

from PIL import Image

from visual_erm.errors import ConfigError
from visual_erm.judge.usage import JudgeUsage
from visual_erm.reward.report import Report
from visual_erm.spec.judge import JudgeSettings
from visual_erm.spec.task import Task


class Judge(Protocol):
    """Lists what differs between two images. Safe to call concurrently from one event loop; never blocks it."""

    async def judge(
        self, reference: Image.Image, prediction: Image.Image, task: Task, usage: JudgeUsage | None = None
    ) -> Report:
        """Lists what differs between two images.

        Args:
            reference: The reference image.
            prediction: The image that the policy's code rendered.
            task: The task of the sample.
            usage: Takes what the judgement costs. By default nothing is counted.

        Returns:
            The report; empty where nothing differs.

        Raises:
            Illegible: The prediction cannot be compared, because of its own shape or cost. The policy is at fault.
            ReferenceUnavailable: The reference cannot be.
            JudgeUnavailable: The judge does not answer, or is closed. The policy is not at fault.
            JudgeUnreadable: The judge answers without a report. The policy is not at fault.
            ConfigError: The judge cannot judge this task, or its settings are wrong.
        """
        ...

    async def close(self) -> None:
        """Ends every process, thread and connection of the judge. May be called twice."""
        ...


def make_judge(settings: JudgeSettings) -> Judge:
    """Makes a judge. Nothing is started before the first judgement.

    Args:
        settings: Which judge, and how it is reached.

    Returns:
        The judge, which the caller closes.

    Raises:
        ConfigError: An endpoint is no URL, the key cannot be read or sent, or the judge is not for rewards.
    """
    if settings.kind == "local":
        from visual_erm.judge.local.judge import LocalJudge

        return LocalJudge(settings)
    if settings.kind == "transformers":
        raise ConfigError(
            "judge transformers is for `visual-erm judge` and `visual-erm bench run`; for rewards serve the model: "
            f"visual-erm serve {settings.model}"
        )
    from visual_erm.judge.caching import CachingJudge
    from visual_erm.judge.remote import RemoteJudge

    return CachingJudge(RemoteJudge(settings), settings)
