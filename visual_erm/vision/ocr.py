"""Text recognition on one CPU core: rapidocr, quiet and offline, behind the two calls that reading an image needs.

rapidocr runs on onnxruntime, whose Linux wheels report usage to their maker. `visual_erm/__init__.py` switches that off for
every process (`ORT_DISABLE_TELEMETRY=1`), before anything imports onnxruntime.

    ocr = Ocr()
    ocr.lines([crop])       # ["Total 12.5"]
    ocr.page(gray)          # [Line("Total", 10.0, 8.0, 52.0, 20.0), ...]
"""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np
from PIL import Image

from visual_erm.errors import Illegible, JudgeUnavailable
from visual_erm.vision.budget import check_budget

LINE_HEIGHT = 48
"""Height in pixels of a line as the recognizer sees it."""
WIDTH_STEP = 32
"""Widths are rounded up to a multiple of this, so that what a line reads as does not depend on its company."""
MIN_WIDTH = 96
MIN_WIDTH_ON_PAGE = 320
"""Lines are padded to at least this width. Clean print reads as well at 96 as at 320, three times as fast; scans do not."""
BATCH_SIZE = 6
"""Number of lines that are recognized at once."""
STARS = set("*火")
"""Characters that the recognizer makes of an asterisk that stands alone."""
ENLARGE = 2
"""Factor of enlargement: print at screen size is read best at double size."""
LONGEST_SIDE = 2000
"""Longest side of a page in pixels: detection time grows with the area."""
MAX_TALL = 8
MAX_WIDE = 60
"""Largest ratios of height to width and of width to height in which rapidocr gets a page. It enlarges the shorter side to
736 pixels, whatever the longer side then is, and refuses pages whose shorter side it scales to nothing. It fills up wide
pages itself."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Line:
    """A line of text found on a page, in pixels of that page."""

    text: str
    left: float
    top: float
    right: float
    bottom: float


class Ocr:
    """One recogniser, for one thread at a time. Its models (40 MB) come inside rapidocr's wheel.

    Raises:
        JudgeUnavailable: rapidocr is missing or broken. Every call may raise it too.
    """

    def __init__(self) -> None:
        self._for_lines = _engine(MIN_WIDTH)
        self._for_pages: Any = None

    def lines(self, crops: list[np.ndarray]) -> list[str]:
        """Reads crops of one line each.

        Args:
            crops: Dark text on white, shape (height, width), uint8.

        Returns:
            The text of each crop; empty where none is found.

        Raises:
            JudgeUnavailable: Text recognition failed.
        """
        return [text for text, _ in self.scored_lines(crops)]

    def scored_lines(self, crops: list[np.ndarray]) -> list[tuple[str, float]]:
        """Reads crops of one line each, and says how sure that is.

        Args:
            crops: As for `lines`.

        Returns:
            The text of each crop, empty where none is found, and the confidence of the recognizer, 0 to 1.

        Raises:
            JudgeUnavailable: Text recognition failed.
        """
        texts = [("", 0.0)] * len(crops)
        groups: dict[int, list[int]] = defaultdict(list)
        prepared = [_prepare(crop) for crop in crops]
        for index, image in enumerate(prepared):
            groups[image.shape[1]].append(index)
        for width in sorted(groups):
            found = _guarded(self._for_lines.recognize_txt, [prepared[index] for index in groups[width]])
            for index, text, sure in zip(groups[width], found.txts, found.scores, strict=True):
                text = text.strip()
                texts[index] = "*" * len(text) if set(text) <= STARS else text, float(sure)
        return texts

    def page(self, image: np.ndarray) -> list[Line]:
        """Finds and reads all text of a page.

        Args:
            image: Gray levels, shape (height, width), uint8.

        Returns:
            The lines of text, in no certain order, with their places in pixels of `image`.

        Raises:
            JudgeUnavailable: Text recognition failed.
        """
        height, width = image.shape
        scale = min(ENLARGE, LONGEST_SIDE / max(height, width))
        if height <= MAX_TALL * width and width <= MAX_WIDE * height:
            scale = max(scale, 1.0)  # rapidocr scales a page down itself
        self._for_pages = self._for_pages or _engine(MIN_WIDTH_ON_PAGE)
        found = _guarded(self._for_pages, _colors(_filled_up(_enlarged(image, scale))))
        if found.txts is None:
            return []
        corners = [np.asarray(box) / scale for box in found.boxes]
        return [
            Line(text.strip(), *box.min(axis=0), *box.max(axis=0))
            for text, box in zip(found.txts, corners, strict=True)
            if text.strip()
        ]


_own = threading.local()


def ocr_of_thread() -> Ocr:
    """Finds the recognizer of the calling thread, which is made with the first call and ends with the thread.

    Returns:
        The recognizer.

    Raises:
        JudgeUnavailable: rapidocr is missing or broken.
    """
    if not hasattr(_own, "ocr"):
        _own.ocr = Ocr()
    return _own.ocr  # type: ignore[no-any-return]


def _engine(narrowest: int) -> Any:
    """A rapidocr on one thread. Its model for detection loads with the first page."""
    try:
        from rapidocr import RapidOCR

        engine = RapidOCR(
            params={
                "Global.use_cls": False,
                "Global.log_level": "error",
                "EngineConfig.onnxruntime.intra_op_num_threads": 1,
                "EngineConfig.onnxruntime.inter_op_num_threads": 1,
                "Rec.rec_img_shape": [3, LINE_HEIGHT, narrowest],
                "Rec.rec_batch_num": BATCH_SIZE,
            }
        )
        # Newer versions load the model late.
        recognizer: Any = engine._load_rec_model() if hasattr(engine, "_load_rec_model") else engine.text_rec
        recognizer.session = _Bounded(recognizer.session)
        return engine
    except (ImportError, OSError, ValueError) as error:
        raise JudgeUnavailable(f"the local judge needs a working rapidocr (pip install rapidocr): {error}") from error


class _Bounded:
    """A session of rapidocr that looks at the budget before each batch of lines. A page may have a thousand lines."""

    def __init__(self, session: Any) -> None:
        self._session = session

    def __call__(self, batch: Any) -> Any:
        check_budget()
        return self._session(batch)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._session, name)


def _guarded(call: Any, argument: Any) -> Any:
    try:
        return call(argument)
    except Illegible:
        raise
    except Exception as error:  # rapidocr's own errors share no base: a bad model file, a failed session, a failed run
        reason = str(error).strip() or type(error).__name__
        raise JudgeUnavailable(f"text recognition failed: {reason.splitlines()[-1]}") from error


def _prepare(crop: np.ndarray) -> np.ndarray:
    """The crop at double size, filled up to the width of its group with the recogniser's own gray: (height, width, 3)."""
    image = _enlarged(crop, ENLARGE)
    height, width = image.shape
    wanted = max(MIN_WIDTH, WIDTH_STEP * -(-width * LINE_HEIGHT // (height * WIDTH_STEP)))
    margin = round(wanted * height / LINE_HEIGHT) - width
    return _colors(np.pad(image, ((0, 0), (0, max(margin, 0))), constant_values=128))


def _enlarged(image: np.ndarray, scale: float) -> np.ndarray:
    if scale == 1:
        return image
    height, width = image.shape
    size = (max(round(width * scale), 1), max(round(height * scale), 1))
    return np.asarray(Image.fromarray(image).resize(size, Image.Resampling.LANCZOS))


def _filled_up(page: np.ndarray) -> np.ndarray:
    """A page that is too tall or too wide, with its background to the right or below."""
    height, width = page.shape
    below, beside = max(-(-width // MAX_WIDE) - height, 0), max(-(-height // MAX_TALL) - width, 0)
    if not below and not beside:
        return page
    background = int(np.bincount(page.ravel()).argmax())
    return np.pad(page, ((0, below), (0, beside)), constant_values=background)


def _colors(image: np.ndarray) -> np.ndarray:
    return np.repeat(image[:, :, None], 3, axis=2)
