"""`ImageReader`: reads any image within a budget, and says whose fault it is when it cannot.

The local judge and the guards read through it. Small images are read in the calling thread. Larger ones are read in a
process, because only a process can be ended, and its memory does not stay. An image whose reading goes over its budget is
illegible. So is one whose reading fails although a plain image is read right after, in a fresh process.

    reader = ImageReader(ocr_of_thread)
    reader.read(read_table, digest_of_pixels(gray), gray)
    reader.close()
"""

from __future__ import annotations

import logging
import pickle
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image, ImageDraw

from visual_erm.errors import Illegible, JudgeUnavailable, ReferenceUnavailable
from visual_erm.kinds import find_kind
from visual_erm.runtime.cache import Cache
from visual_erm.runtime.endable_process import CallLimit, EndableProcess
from visual_erm.vision.budget import budget
from visual_erm.vision.images import digest_of_pixels
from visual_erm.vision.ocr import Line, Ocr, ocr_of_thread
from visual_erm.vision.readings import TextReader

LIMIT_S = 30.0
"""CPU seconds of one reading of one image. The largest ruled table that is read, of 3000 cells, takes 13 s."""
HARD_FACTOR, WALL_FACTOR = 1.5, 4
"""CPU time and wall time of a reading after which its process is ended, as multiples of that limit. Most readings over the
limit end by themselves, at their next step."""
PLAIN_LIMIT_S = 30.0
"""CPU seconds in which a fresh process reads a plain image, its models loaded."""
START_S = 120.0
"""Wall time to start a process, on the most loaded machine."""
MAX_PIXELS_HERE = 2_000_000
"""Width times height of the largest image that is read in the calling thread."""
MEMORY_BYTES = 3 << 30
"""What a process may allocate. Text recognition of a whole page takes up to 1.4 GB."""
RESTING_BYTES = 1 << 30
"""Memory with which a process may wait for the next image."""
FAULTS_KEPT = 4096
"""Images that are known to be illegible: the replies of a group repeat each other."""
TEXTS_KEPT = 4096
"""Texts of crops that a process keeps."""

log = logging.getLogger(__name__)

Read = Callable[..., Any]
"""Called with pixels, further arguments and a `TextReader`; returns a reading."""


class CachingOcr:
    """A reader that reads each distinct crop once.

    Args:
        ocr: Makes or finds the recognizer of the calling thread.
        texts: Texts of crops by their digest.
    """

    def __init__(self, ocr: Callable[[], Ocr], texts: Cache[str]) -> None:
        self._ocr = ocr
        self._texts = texts

    def lines(self, crops: list[np.ndarray]) -> list[str]:
        """Reads one string per crop.

        Args:
            crops: Dark text on white, shape (height, width), uint8.

        Returns:
            The text of each crop; empty where none is found.
        """
        keys = [digest_of_pixels(crop) for crop in crops]
        texts = {key: self._texts.find(key) for key in keys}
        unknown = {key: crop for key, crop in zip(keys, crops, strict=True) if texts[key] is None}
        for key, text in zip(unknown, self._ocr().lines(list(unknown.values())) if unknown else (), strict=True):
            texts[key] = text
            self._texts.keep(key, text)
        return [texts[key] or "" for key in keys]

    def scored_lines(self, crops: list[np.ndarray]) -> list[tuple[str, float]]:
        """Reads one string per crop, and says how sure that is.

        Args:
            crops: Dark text on white, shape (height, width), uint8.

        Returns:
            The text and the confidence, 0 to 1, of each crop.
        """
        return self._ocr().scored_lines(crops)

    def page(self, image: np.ndarray) -> list[Line]:
        """Reads the lines of a whole image.

        Args:
            image: Gray levels, shape (height, width), uint8.

        Returns:
            The lines with their places.
        """
        return self._ocr().page(image)


class ImageReader:
    """Reads images for a judge or for guards. Thread-safe; every thread has a process of its own, started when needed.

    Args:
        ocr: Makes or finds the text reader of the calling thread.
        kind: The kind of code, as a task file names it. A process imports its module before it reads.
    """

    def __init__(self, ocr: Callable[[], TextReader], kind: str = "") -> None:
        self._ocr = ocr
        self._kind = kind
        self._own = threading.local()
        self._processes: list[EndableProcess] = []
        self._faults: Cache[str] = Cache(FAULTS_KEPT)

    def read(self, function: Read, key: bytes, pixels: np.ndarray, *more: Any, kind: str | None = None) -> Any:
        """Reads an image.

        Args:
            function: Reads. It is called with `pixels`, `more` and a text reader.
            key: Digest of the image.
            pixels: Gray levels or RGB, uint8.
            more: Further arguments, that can be pickled.
            kind: The kind of code, if it is not that of the reader.

        Returns:
            What the function returns.

        Raises:
            Illegible: The image costs too much, or cannot be read although others can.
            JudgeUnavailable: No image can be read.
        """
        known = (function, key)
        if (reason := self._faults.find(known)) is not None:
            raise Illegible(reason)
        try:
            if pixels.shape[0] * pixels.shape[1] > MAX_PIXELS_HERE:
                return self._read_apart(self._kind if kind is None else kind, function, pixels, more)
            try:
                ocr = self._ocr()
                with budget(LIMIT_S):
                    return function(pixels, *more, ocr)
            except Illegible:
                raise
            except Exception as error:
                log.warning("an image is read again, in a process of its own", exc_info=True)
                return self._read_apart(self._kind if kind is None else kind, function, pixels, more, error)
        except Illegible as fault:
            self._faults.keep(known, str(fault))
            raise

    def read_reference(self, function: Read, key: bytes, pixels: np.ndarray, *more: Any, kind: str | None = None) -> Any:
        """Reads a reference: as `read`, but the policy is not at fault.

        Args:
            function: Reads.
            key: Digest of the image.
            pixels: Gray levels or RGB, uint8.
            more: Further arguments.
            kind: The kind of code, if it is not that of the reader.

        Returns:
            What the function returns.

        Raises:
            ReferenceUnavailable: The image costs too much, or cannot be read although others can.
            JudgeUnavailable: No image can be read.
        """
        try:
            return self.read(function, key, pixels, *more, kind=kind)
        except Illegible as fault:
            raise ReferenceUnavailable(f"the reference image cannot be compared with any other: {fault}") from fault

    def close(self) -> None:
        """Ends the processes, also in the middle of a reading. May be called twice."""
        for process in self._processes:
            process.end()
        self._faults.clear()

    def _read_apart(
        self, kind: str, function: Read, pixels: np.ndarray, more: tuple[Any, ...], failed: Exception | None = None
    ) -> Any:
        """Reads in a process. `failed`: what the calling thread raised; then a process fails once, not twice."""
        try:
            pickle.dumps((function, more))
        except (pickle.PicklingError, AttributeError, TypeError):
            if failed is not None:
                raise failed from None
            with budget(LIMIT_S):
                return function(pixels, *more, self._ocr())
        for _ in range(2 if failed is None else 1):
            try:
                return self._call(kind, function, pixels, more)
            except (Illegible, CallLimit) as error:
                raise Illegible(f"the image cannot be read: {error}") from error
            except Exception as error:
                log.debug("a process does not read an image", exc_info=True)
                failed = error
                self._process().end(for_good=False)
        try:
            self._call(kind, function, _plain(pixels.ndim), more, PLAIN_LIMIT_S)
        except JudgeUnavailable:
            raise
        except Exception as error:
            raise JudgeUnavailable(f"not even a plain image can be read: {type(error).__name__}: {error}") from error
        log.error("an image cannot be read, and a plain one can: %s: %s", type(failed).__name__, failed, exc_info=failed)
        raise Illegible(f"the image cannot be read: {type(failed).__name__}: {failed}") from failed

    def _call(
        self, kind: str, function: Read, pixels: np.ndarray, more: tuple[Any, ...], limit_s: float | None = None
    ) -> Any:
        limit_s = LIMIT_S if limit_s is None else limit_s
        process = self._process()
        if not process.is_running():
            process.call(_import_all, kind, cpu_s=START_S, wall_s=START_S)
        # The function travels as a pickle of its own: its module may be known only once its kind is.
        named = pickle.dumps((function, more))
        limits = {"cpu_s": HARD_FACTOR * limit_s, "wall_s": WALL_FACTOR * limit_s}
        return process.call(_read_here, kind, named, pixels, limit_s, **limits)

    def _process(self) -> EndableProcess:
        if not hasattr(self._own, "process"):
            self._own.process = EndableProcess(MEMORY_BYTES, RESTING_BYTES)
            self._processes.append(self._own.process)
        return self._own.process  # type: ignore[no-any-return]


def _plain(dimensions: int) -> np.ndarray:
    """A small image that every working reader reads: gray levels, or RGB for three dimensions."""
    image = Image.new("L" if dimensions == 2 else "RGB", (240, 60), "white")
    ImageDraw.Draw(image).text((20, 20), "plain 123", fill="black")
    return np.asarray(image)


# In the process


_ocr = CachingOcr(ocr_of_thread, Cache(TEXTS_KEPT))


def _import_all(kind: str) -> None:
    """Takes the time that no image should be blamed for."""
    if kind:
        find_kind(kind)


def _read_here(kind: str, named: bytes, pixels: np.ndarray, limit_s: float) -> Any:
    if kind:
        find_kind(kind)
    function, more = pickle.loads(named)  # noqa: S301  written by `_call` above
    with budget(limit_s):
        return function(pixels, *more, _ocr)
