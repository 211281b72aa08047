"""Structural similarity, a pixel baseline, as veRL calls it: `reward=ssim`.

    r = SSIM(image of the reply's code, reference), in [0, 1]; 0 for a reply that does not draw

Wang et al., "Image quality assessment: from error visibility to structural similarity" (IEEE TIP 2004);
`visual_erm.baselines.ssim` has the details. Most of a table is white, so most of any table looks right to it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from PIL import Image

from visual_erm.baselines.adapter import ImageBaseline, Row, score
from visual_erm.training.reward_requirements import check_packages


async def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: Any,
    extra_info: Mapping[str, Any],
    *,
    task: str | Mapping[str, Any],
    longest_side: int = 1024,
    failure: Mapping[str, Any] | None = None,
    journal: str | None = None,
    data_root: str | None = None,
    reward_router_address: str | None = None,
    reward_model_tokenizer: Any = None,
) -> dict[str, float]:
    """The reward of one rollout, with the numbers behind it; the same keys for every sample.

    Args:
        data_source: the row's `data_source`; picks the task when there are several.
        solution_str: the policy's reply.
        ground_truth: ignored: the reward sees images only.
        extra_info: the row's `extra_info`, as for `visual_equivalence.compute_score`.
        task: a task or a mixture by name, file or mapping.
        longest_side: pixels; larger images are scaled down, both by the same factor.
        failure: see `visual_erm.judge.FailurePolicy`.
        journal: folder for one JSON line per call, in one file per worker.
        data_root: folder of the data set.
        reward_router_address: ignored.
        reward_model_tokenizer: ignored.

    Returns:
        `score` in [0, 1], `extract_ok`, `render_ok`, `guard_blank`, `guard_tampering`, `compare_ok` (0 or 1), and
        `extract_ms`, `render_ms`, `guard_ms`, `compare_ms`.

    Raises:
        ConfigError: a setting is wrong, or the row has no reference or no task, or was rendered by another version.
        InfrastructureError: too many samples could not be drawn or compared by no fault of theirs, or one and `failure` says stop.
        The reason of either is also in the journal's `fatal.txt`.
    """
    row = Row(data_source, solution_str, ground_truth, extra_info)
    settings = {"task": task, "failure": failure, "longest_side": longest_side, "data_root": data_root}
    return await score(row, journal, _baseline, settings)


class _Ssim:
    """Compares images in a thread."""

    def __init__(self, longest_side: int) -> None:
        self._longest_side = longest_side
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="ssim")

    async def compare(self, prediction: Image.Image, reference: Image.Image) -> float:
        from visual_erm.baselines.ssim import ssim

        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._thread, ssim, prediction, reference, self._longest_side)

    async def close(self) -> None:
        self._thread.shutdown(cancel_futures=True)


def _baseline(task: Any, failure: Any, longest_side: int, data_root: str | None) -> ImageBaseline:
    check_packages("ssim", ["skimage"])
    return ImageBaseline(task, failure, _Ssim(longest_side), data_root)
