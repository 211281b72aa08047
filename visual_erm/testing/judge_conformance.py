"""What every judge must do, as one function that any judge can be run against.

    await check_judge(MyJudge(settings), reference, prediction, load_task("table"))

A new judge calls it from its own tests, with two images that differ in something that the judge sees.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

from PIL import Image

from visual_erm.errors import ConfigError, JudgeUnavailable, JudgeUnreadable
from visual_erm.judge.base import Judge
from visual_erm.judge.usage import JudgeUsage
from visual_erm.reward.report import MAX_SEVERITY, Report
from visual_erm.spec.task import Task

CONCURRENT = 4
"""Judgements of each pair at the same time."""
CLOSE_S = 60.0
"""Seconds within which a judgement ends whose judge is closed."""
ERRORS = (JudgeUnavailable, JudgeUnreadable, ConfigError)
"""The only errors that a judge may raise."""


async def check_judge(judge: Judge, reference: Image.Image, prediction: Image.Image, task: Task) -> None:
    """Checks what the protocol `Judge` promises.

    Args:
        judge: A fresh judge; it is closed in the end.
        reference: The reference image.
        prediction: An image that differs from the reference.
        task: A task that the judge can judge.

    Raises:
        AssertionError: The first promise that does not hold, in words.
    """
    usage = JudgeUsage()
    try:
        different = await judge.judge(reference, prediction, task, usage)
        _check_report(different, task)
        assert different.discrepancies, "two images that differ have an empty report"
        assert all(number >= 0 for number in usage.numbers().values()), "a number of the usage is negative"
        assert not (await judge.judge(reference, reference.copy(), task)).discrepancies, "equal images have a discrepancy"

        pairs = [(reference, prediction), (reference, reference), (prediction, reference)] * CONCURRENT
        reports = await asyncio.gather(*(judge.judge(first.copy(), second.copy(), task) for first, second in pairs))
        for number, report in enumerate(reports):
            _check_report(report, task)
            kind = number % 3
            assert kind == 2 or bool(report.discrepancies) == (kind == 0), "concurrent judgements disturb each other"

        cancelled, other = (asyncio.create_task(judge.judge(prediction, _turned(reference), task)) for _ in range(2))
        await asyncio.sleep(0)
        cancelled.cancel()
        await asyncio.gather(cancelled, return_exceptions=True)
        _check_report(await other, task)

        await _outcome(judge.judge(reference, Image.new("RGB", (1, 1)), task), task)
        under_way = asyncio.create_task(_outcome(judge.judge(_turned(reference), _turned(prediction), task), task))
        await asyncio.sleep(0)
    finally:
        await judge.close()
    try:
        await asyncio.wait_for(asyncio.shield(under_way), CLOSE_S)
    except asyncio.TimeoutError:
        raise AssertionError("a judgement is left waiting after close") from None
    await judge.close()
    await _outcome(judge.judge(_turned(prediction), reference, task), task)


def _check_report(report: Report, task: Task) -> None:
    assert isinstance(report, Report), f"not a report: {report!r}"
    for discrepancy in report.discrepancies:
        assert discrepancy.category in task.report.categories, f"`{discrepancy.category}` is no category of the task"
        assert 1 <= discrepancy.severity <= MAX_SEVERITY, f"severity {discrepancy.severity} is out of range"


async def _outcome(judgement: Coroutine[Any, Any, Report], task: Task) -> None:
    """Accepts a report or one of the documented errors."""
    try:
        _check_report(await judgement, task)
    except ERRORS as error:
        assert str(error), f"{type(error).__name__} has no message"
    except asyncio.CancelledError:
        raise AssertionError("a judgement that nobody cancelled was cancelled") from None


def _turned(image: Image.Image) -> Image.Image:
    return image.transpose(Image.Transpose.ROTATE_180)
