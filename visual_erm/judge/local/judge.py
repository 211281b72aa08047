"""The judge without a GPU or a server: looks at both images and compares what it saw.

It sees images only, like any judge, and the task's categories say of what kind they are. It is no substitute for Visual-
ERM. Tables: on images drawn by the project's renderer it is exact about cells, on scans it knows words but not their
arrangement. Charts and drawings: it knows printed text, flat colors, and where marks are and how large; what it cannot
see is listed in charts.py.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np
from PIL import Image

from visual_erm.errors import ConfigError, JudgeUnavailable
from visual_erm.judge.local import charts
from visual_erm.judge.local.tables import CATEGORIES, compare
from visual_erm.judge.usage import JudgeUsage
from visual_erm.reward.report import Report
from visual_erm.runtime.cache import Cache
from visual_erm.spec.judge import JudgeSettings
from visual_erm.spec.task import Task
from visual_erm.vision.chart_scene import see
from visual_erm.vision.colors import on_white
from visual_erm.vision.ocr import Line, Ocr
from visual_erm.vision.scene_types import Scene
from visual_erm.vision.table_cells import Reading
from visual_erm.vision.table_grid import gray, read

CELLS_PER_ENTRY = 16
"""Cells, or discrepancies, that one entry of the cache stands for: the memory of large tables is bounded as well."""

Kind = Literal["table", "chart", "svg"]
LIMITS: dict[Kind, str] = {
    "table": "OCR of cells; blind to fonts and colours",
    "chart": "OCR, colours and marks; blind to fonts, line styles and textures",
    "svg": "OCR, colours and shapes; blind to fonts, gradients and textures",
}
"""What it goes by, for the log."""

logger = logging.getLogger(__name__)


class LocalJudge:
    """Reads in `settings.readers` threads, started with the first judgement; keeps `settings.cache_size` readings."""

    def __init__(self, settings: JudgeSettings) -> None:
        self._readers = settings.readers
        self._pool: ThreadPoolExecutor | None = None
        self._closed = False
        self._own = threading.local()
        self._decoding = threading.Lock()
        size = settings.cache_size
        self._texts: Cache[str] = Cache(size)
        self._seen: Cache[Scene] = Cache(CELLS_PER_ENTRY * size, lambda seen: 1 + len(seen.marks) + len(seen.texts))
        self._readings: Cache[Reading] = Cache(CELLS_PER_ENTRY * size, lambda reading: 1 + len(reading.cells))
        self._reports: Cache[Report] = Cache(CELLS_PER_ENTRY * size, lambda report: 1 + len(report.discrepancies))

    async def judge(
        self, reference: Image.Image, prediction: Image.Image, task: Task, account: JudgeUsage | None = None
    ) -> Report:
        """What differs between two images; those that are pixel for pixel the same do not. No call is made.

        Raises JudgeUnavailable (closed, or no working OCR); ConfigError when the task's categories are none of those known.
        """
        kind = _kind(task)
        if self._closed:
            raise JudgeUnavailable("the local judge is closed")
        if self._pool is None:
            logger.info("judging with the local judge (%s), %d reader(s)", LIMITS[kind], self._readers)
            self._pool = ThreadPoolExecutor(self._readers, thread_name_prefix="local-judge")
        return await asyncio.get_running_loop().run_in_executor(self._pool, self._judge, reference, prediction, kind)

    async def close(self) -> None:
        """Ends the threads after the readings under way and forgets what was read. May be called twice."""
        self._closed = True
        pool, self._pool = self._pool, None
        if pool is not None:
            await asyncio.to_thread(pool.shutdown)
        for cache in (self._texts, self._seen, self._readings, self._reports):
            cache.clear()
        self._own = threading.local()

    def _judge(self, reference: Image.Image, prediction: Image.Image, kind: Kind) -> Report:
        if self._closed:
            raise JudgeUnavailable("the local judge was closed")
        if kind == "table":
            ours, theirs = self._pixels(reference), self._pixels(prediction)
        else:
            ours, theirs = self._colors(reference), self._colors(prediction)
        pair = _digest(ours), _digest(theirs)
        if pair[0] == pair[1]:
            return Report()
        if kind == "table":
            return self._reports.get(
                pair, lambda: Report(compare(self._reading(pair[0], ours), self._reading(pair[1], theirs)))
            )
        return self._reports.get(
            (kind, *pair), lambda: Report(charts.compare(self._look(pair[0], ours), self._look(pair[1], theirs), kind))
        )

    def _colors(self, image: Image.Image) -> np.ndarray:
        with self._decoding:
            image.load()
        return np.asarray(on_white(image))

    def _look(self, key: bytes, image: np.ndarray) -> Scene:
        return self._seen.get(key, lambda: see(Image.fromarray(image), self._lines))

    def _pixels(self, image: Image.Image) -> np.ndarray:
        with self._decoding:  # images decode on first use, and a group shares its reference
            image.load()
        return gray(image)

    def _reading(self, key: bytes, image: np.ndarray) -> Reading:
        return self._readings.get(key, lambda: read(image, self._lines, self._page))

    def _page(self, image: np.ndarray) -> list[Line]:
        return self._ocr().page(image)

    def _lines(self, crops: list[np.ndarray]) -> list[str]:
        """Texts of crops, each distinct crop read once."""
        keys = [_digest(crop) for crop in crops]
        texts = {key: self._texts.find(key) for key in keys}
        unknown = {key: crop for key, crop in zip(keys, crops, strict=True) if texts[key] is None}
        for key, text in zip(unknown, self._ocr().lines(list(unknown.values())) if unknown else (), strict=True):
            texts[key] = text
            self._texts.keep(key, text)
        return [texts[key] or "" for key in keys]

    def _ocr(self) -> Ocr:
        if not hasattr(self._own, "ocr"):
            self._own.ocr = Ocr()
        return self._own.ocr


def _kind(task: Task) -> Kind:
    known: dict[Kind, tuple[str, ...]] = {"table": CATEGORIES}
    known["chart"], known["svg"] = charts.CATEGORIES["chart"], charts.CATEGORIES["svg"]
    for kind, categories in known.items():
        if set(categories) <= set(task.report.categories):
            return kind
    choices = "; ".join(f"{kind}: {', '.join(categories)}" for kind, categories in known.items())
    raise ConfigError(f"the local judge knows the categories of {choices}; not those of the task `{task.name}`")


def _digest(image: np.ndarray) -> bytes:
    shape = ",".join(map(str, image.shape)).encode()
    return hashlib.blake2b(np.ascontiguousarray(image).data, digest_size=16, key=shape).digest()
