"""Thousands of calls to fast endpoints, all about different images: memory and descriptors of a reward worker's judge
must not grow from the first fifth of them to the last. The loop is driven as fast as it goes; how long anything keeps a
loop from going on is measured in the step.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from collections.abc import Iterator
from typing import Any

import psutil
from PIL import Image

from visual_erm.judge.base import make_judge
from visual_erm.judge.usage import JudgeUsage
from visual_erm.spec.judge import JudgeSettings, ReuseSettings
from visual_erm.spec.task import Task

IN_FLIGHT, PARTS = 256, 50
"""Judgements under way at a time; how often it is looked at what is there."""
CONNECTIONS = 18
"""With each endpoint at most: few enough that all are open before the first fifth is over."""
KEPT = 0.1
"""Reports that the cache holds, as a part of the calls: it is full before the first fifth is over."""
SIDE = 64
MOST_GROWTH = {"memory_mb": 10, "descriptors": 2}
"""From the first fifth to the last."""


async def soak(calls: int, settings: JudgeSettings, task: Task) -> dict[str, Any]:
    """So many judgements with these settings; `growth` holds the means of the first and of the last fifth."""
    reuse = ReuseSettings(cache_size=max(1, int(KEPT * calls)))
    settings = settings.model_copy(update={"reuse": reuse, "max_in_flight": CONNECTIONS})
    judge = make_judge(settings)
    reference = Image.new("RGB", (SIDE, SIDE), "white")
    points: list[dict[str, float]] = []
    made = 0

    async def some(numbers: Iterator[int]) -> None:
        nonlocal made
        for number in numbers:
            account = JudgeUsage()
            await judge.judge(reference, _image(number), task, account)
            made += account.calls

    try:
        await some(iter(range(calls, calls + IN_FLIGHT)))
        made, begun = 0, time.monotonic()
        for part in range(PARTS):
            numbers = iter(range(part * calls // PARTS, (part + 1) * calls // PARTS))
            await asyncio.gather(*(some(numbers) for _ in range(IN_FLIGHT)))
            points.append(_here())
        seconds = time.monotonic() - begun
    finally:
        await judge.close()
    growth = {name: _fifths([point[name] for point in points]) for name in MOST_GROWTH}
    return {
        "calls": made,
        "seconds": seconds,
        "calls_per_s": made / seconds,
        "growth": growth,
        "flat": {name: last - first <= MOST_GROWTH[name] for name, (first, last) in growth.items()},
        "points": points,
    }


def _image(number: int) -> Image.Image:
    return Image.new("RGB", (SIDE, SIDE), (number % 256, number // 256 % 256, number // 65536 + 1))


def _here() -> dict[str, float]:
    here = psutil.Process()
    return {"memory_mb": here.memory_info().rss / 1e6, "descriptors": here.num_fds()}


def _fifths(values: list[float]) -> tuple[float, float]:
    """Means of the first and of the last fifth."""
    fifth = max(len(values) // 5, 1)
    return statistics.mean(values[:fifth]), statistics.mean(values[-fifth:])
