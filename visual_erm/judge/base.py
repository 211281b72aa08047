"""(reference, image) -> Report: judges behind one protocol, and the factory that makes one from its settings."""

from __future__ import annotations

from typing import Protocol

from PIL import Image

from visual_erm.judge.usage import JudgeUsage
from visual_erm.reward.report import Report
from visual_erm.spec.judge import JudgeSettings
from visual_erm.spec.task import Task


class Judge(Protocol):
    """Lists what differs between two images. Safe to call concurrently from one event loop; never blocks it."""

    async def judge(
        self, reference: Image.Image, prediction: Image.Image, task: Task, usage: JudgeUsage | None = None
    ) -> Report:
        """What differs, reference first; what that cost goes into `usage`.

        Raises JudgeUnavailable or JudgeUnreadable: both ours, never the policy's.
        """
        ...

    async def close(self) -> None:
        """Ends every process and connection the judge made. May be called twice."""
        ...


def make_judge(settings: JudgeSettings) -> Judge:
    """The judge that the settings ask for; nothing is started before the first judgement."""
    if settings.kind == "local":
        from visual_erm.judge.local.judge import LocalJudge

        return LocalJudge(settings)
    from visual_erm.judge.caching import CachingJudge
    from visual_erm.judge.remote import RemoteJudge

    return CachingJudge(RemoteJudge(settings), settings)
