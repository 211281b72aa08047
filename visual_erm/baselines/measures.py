"""`Teds`, `EditDistance` and `Ssim`: the comparisons of the baselines, as pipelines and evaluations ask them.

measure = Teds(header_text=True, workers=Workers(2, 60))
(await measure.compare(prediction, truth)).value
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from PIL import Image

from visual_erm.baselines.similarity import TAG_STUFFING, Similarity
from visual_erm.baselines.worker_pool import Workers


class Teds:
    """Compares tables in processes of their own."""

    guards: tuple[str, ...] = (TAG_STUFFING,)

    def __init__(self, header_text: bool, workers: Workers) -> None:
        self._header_text = header_text
        self._workers = workers
        self.close = workers.close

    async def compare(self, prediction: str, truth: str) -> Similarity:
        """Compares two tables; see `TextMeasure.compare`."""
        return await self._workers.compare(
            measure="teds", prediction=prediction, truth=truth, header_text=self._header_text
        )


class EditDistance:
    """Compares texts in a process of its own: a long pair would hold up the event loop."""

    guards: tuple[str, ...] = ()

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self.close = workers.close

    async def compare(self, prediction: str, truth: str) -> Similarity:
        """Compares two texts; see `TextMeasure.compare`."""
        return await self._workers.compare(measure="edit_distance", prediction=prediction, truth=truth)


class Ssim:
    """Compares images in a thread."""

    def __init__(self, longest_side: int) -> None:
        self._longest_side = longest_side
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ssim")

    async def compare(self, prediction: Image.Image, reference: Image.Image) -> float:
        """Compares two images; see `ImageMeasure.compare`."""
        from visual_erm.baselines.ssim import ssim

        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, ssim, prediction, reference, self._longest_side)

    async def close(self) -> None:
        """Ends the thread. May be called twice."""
        self._thread.shutdown(cancel_futures=True)
