"""The judge without a GPU or a server: it reads both images and compares what it read.

It gets images only, like any judge; the task's kind says how they are read and compared. It is no substitute for
Visual-ERM. Tables: on images drawn by the project's renderer it is exact about cells, on scans it knows words but not their
arrangement. Charts and drawings: it knows printed text, flat colors, and where marks are and how large; what it cannot
see is listed in charts.py.

    judge = LocalJudge(JudgeSettings(kind="local"))
    report = await judge.judge(reference, prediction, load_task("table"))
"""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from PIL import Image

from visual_erm.errors import ConfigError, JudgeUnavailable
from visual_erm.judge.usage import JudgeUsage
from visual_erm.kinds import SHIPPED, LocalComparison, resolve
from visual_erm.reward.report import Report
from visual_erm.runtime.cache import Cache
from visual_erm.spec.judge import JudgeSettings
from visual_erm.spec.task import Task
from visual_erm.vision.image_reader import CachingOcr, ImageReader
from visual_erm.vision.images import digest_of_pixels, gray, on_white
from visual_erm.vision.ocr import ocr_of_thread

CELLS_PER_ENTRY = 16
"""Cells, or discrepancies, that one entry of the cache stands for: the memory of large tables is bounded as well."""

logger = logging.getLogger(__name__)


class LocalJudge:
    """The local judge. Its threads start with the first judgement and end with `close`.

    Args:
        settings: `ocr_workers` is the number of threads, `cache_size` the number of readings kept.
    """

    def __init__(self, settings: JudgeSettings) -> None:
        self._ocr_workers = settings.ocr_workers
        self._pool: ThreadPoolExecutor | None = None
        self._closed = False
        self._decoding = threading.Lock()
        size = settings.cache_size
        self._texts: Cache[str] = Cache(size)
        self._reader = ImageReader(self._text_reader)
        self._readings: Cache[tuple[Any, int]] = Cache(CELLS_PER_ENTRY * size, lambda kept: kept[1])
        self._reports: Cache[Report] = Cache(CELLS_PER_ENTRY * size, lambda report: 1 + len(report.discrepancies))

    async def judge(
        self, reference: Image.Image, prediction: Image.Image, task: Task, usage: JudgeUsage | None = None
    ) -> Report:
        """Reports what differs between two images. No call to a server is made.

        Args:
            reference: The reference image.
            prediction: The image that the policy's code rendered.
            task: The task; its kind says how images are compared.
            usage: Not used: the judge has nothing to count.

        Returns:
            The report; empty for images that are pixel for pixel the same.

        Raises:
            Illegible: The prediction cannot be read, because of its shape or of what that costs.
            ReferenceUnavailable: The reference cannot.
            JudgeUnavailable: The judge is closed, or OCR does not work.
            ConfigError: The task's kind cannot be judged locally, or the task lacks its categories.
        """
        comparison = _comparison(task)
        if self._closed:
            raise JudgeUnavailable("the local judge is closed")
        if self._pool is None:
            logger.info("judging with the local judge (%s), %d OCR worker(s)", comparison.limits, self._ocr_workers)
            self._pool = ThreadPoolExecutor(self._ocr_workers, thread_name_prefix="local-judge")
        return await asyncio.get_running_loop().run_in_executor(
            self._pool, self._judge, reference, prediction, comparison, task.kind.reference
        )

    async def close(self) -> None:
        """Ends the threads after the readings under way and forgets what was read. May be called twice."""
        self._closed = True
        pool, self._pool = self._pool, None
        if pool is not None:
            await asyncio.to_thread(pool.shutdown)
        await asyncio.to_thread(self._reader.close)
        for cache in (self._texts, self._readings, self._reports):
            cache.clear()

    def _judge(self, reference: Image.Image, prediction: Image.Image, comparison: LocalComparison, kind: str) -> Report:
        if self._closed:
            raise JudgeUnavailable("the local judge was closed")
        pixels = self._pixels(reference, comparison.color), self._pixels(prediction, comparison.color)
        pair = digest_of_pixels(pixels[0]), digest_of_pixels(pixels[1])
        if pair[0] == pair[1]:
            return Report()

        def compare() -> Report:
            # The reference first: what costs too much in both images is not the policy's fault.
            wanted = self._reading(self._reader.read_reference, pair[0], pixels[0], comparison, kind)
            found = self._reading(self._reader.read, pair[1], pixels[1], comparison, kind)
            return Report(tuple(resolve(comparison.compare)(wanted, found)))

        return self._reports.get((comparison, *pair), compare)

    def _pixels(self, image: Image.Image, color: bool) -> np.ndarray:
        with self._decoding:  # images decode on first use, and a group shares its reference
            image.load()
        return np.asarray(on_white(image)) if color else gray(image)

    def _reading(
        self, read_image: Callable[..., Any], key: bytes, image: np.ndarray, comparison: LocalComparison, kind: str
    ) -> Any:
        def read() -> tuple[Any, int]:
            reading = read_image(resolve(comparison.read), key, image, kind=kind)
            return reading, comparison.weight(reading)

        return self._readings.get((comparison.read, key), read)[0]

    def _text_reader(self) -> CachingOcr:
        ocr_of_thread()  # no image is charged for loading the models
        return CachingOcr(ocr_of_thread, self._texts)


def _comparison(task: Task) -> LocalComparison:
    """How images of the task are compared. Raises ConfigError where the task's kind or categories leave that open."""
    comparison = task.kind.local_comparison
    if comparison is None:
        raise ConfigError(
            f"the local judge cannot compare images of the kind `{task.kind.name}`, which declares no `local_comparison`; "
            "give it one, or take a model as judge"
        )
    if not set(comparison.categories) <= set(task.report.categories):
        known = {kind.name: kind.local_comparison.categories for kind in SHIPPED.values() if kind.local_comparison}
        choices = "; ".join(f"{name}: {', '.join(categories)}" for name, categories in known.items())
        raise ConfigError(f"the local judge knows the categories of {choices}; not those of the task `{task.name}`")
    return comparison
