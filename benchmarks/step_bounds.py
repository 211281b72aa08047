"""What a step of training cannot be faster than, because of the endpoints: the same requests in the same order, all ready
before the first is sent, on all slots at once.

Once as a replay, with requests prepared beforehand, and once as a plan from the times that the endpoints themselves
took down.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import json
import time
from collections.abc import Iterable, Sequence

import aiohttp
from PIL import Image
from vllm_simulator import Endpoint, Served, digest, without_images

from visual_erm.judge.encode import data_url
from visual_erm.judge.remote import request_for
from visual_erm.spec.judge import JudgeSettings
from visual_erm.spec.task import Task

Asked = tuple[Image.Image, Image.Image, Task]
"""Reference, prediction, and what they are compared for."""


def request(asked: Asked) -> bytes:
    """The body with which these images are judged."""
    reference, prediction, task = asked
    urls = [data_url(image, task.judge.image) for image in (reference, prediction)]
    return json.dumps({"model": "visual-erm", **request_for(urls, task, JudgeSettings(kind="local"))}).encode()


def requests(asked: Iterable[Asked]) -> dict[str, bytes]:
    """The bodies by their pair of images, each once."""
    bodies = map(request, asked)
    return {digest(without_images(body)[0]): body for body in bodies}


async def replayed(order: Sequence[str], bodies: dict[str, bytes], endpoints: Sequence[Endpoint]) -> float:
    """Seconds that the endpoints take for these pairs in this order, each slot given the next one when it is free."""
    waiting = iter(order)
    slots = [endpoint.url for _ in range(endpoints[0].slots) for endpoint in endpoints]
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as session:

        async def slot(url: str) -> None:
            for pair in waiting:
                async with session.post(f"{url}/chat/completions", data=bodies[pair]) as answer:
                    answer.raise_for_status()
                    await answer.read()

        begun = time.monotonic()
        await asyncio.gather(*map(slot, slots))
        return time.monotonic() - begun


def planned(times: Iterable[float], slots: int) -> float:
    """Seconds until requests that take so long are done, each slot given the next one when it is free.

    >>> planned([3, 1, 1, 2], slots=2)
    4
    """
    free: list[float] = [0] * slots
    for seconds in times:
        heapq.heapreplace(free, free[0] + seconds)
    return max(free)


def busy(served: Iterable[Served], begin: float, end: float) -> float:
    """Slots in use between two moments, on average, by requests that got a report; 0 of no time."""
    overlap = (min(one.ended, end) - max(one.started, begin) for one in served)
    return sum(seconds for seconds in overlap if seconds > 0) / (end - begin) if end > begin else 0.0


def full(served: Sequence[Served], slots: int, begun: float) -> tuple[float, float]:
    """When all slots were first in use, and when last, in seconds; (0, 0) if they never were."""
    edges = sorted([(one.started, 1) for one in served] + [(one.ended, -1) for one in served])
    in_use = itertools.accumulate(change for _, change in edges)
    moments = [moment - begun for (moment, _), count in zip(edges, in_use, strict=True) if count >= slots]
    return (moments[0], moments[-1]) if moments else (0.0, 0.0)
