"""Edit distance, a text baseline, as veRL calls it: `reward=edit_distance`.

    r = 1 - Levenshtein(reply's code, ground truth's code) / the longer one's length, in [0, 1]

The normalised edit distance of table and document parsing (OmniDocBench, arXiv 2412.07626), turned round; runs of white
space count as one blank. Markdown is turned into HTML first. It needs each row's code (`reward_model.ground_truth`), and
draws nothing: 0 for a reply without code.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from visual_erm.baselines.adapter import Row, TextBaseline, score
from visual_erm.baselines.worker_pool import Workers


async def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: Any,
    extra_info: Mapping[str, Any],
    *,
    task: str | Mapping[str, Any],
    timeout_s: float = 10,
    failure: Mapping[str, Any] | None = None,
    journal: str | None = None,
    reward_router_address: str | None = None,
    reward_model_tokenizer: Any = None,
) -> dict[str, float]:
    """The reward of one rollout, with the numbers behind it; the same keys for every sample.

    Args:
        data_source: the row's `data_source`; picks the task when there are several.
        solution_str: the policy's reply.
        ground_truth: the row's `reward_model.ground_truth`: code in a language of the task.
        extra_info: the row's `extra_info`; names the row in messages and in the journal.
        task: a task or a mixture by name, file or mapping.
        timeout_s: CPU seconds for one comparison; over it the sample gets a neutral reward.
        failure: see `visual_erm.judge.FailurePolicy`.
        journal: folder for one JSON line per call, in one file per worker.
        reward_router_address: ignored.
        reward_model_tokenizer: ignored.

    Returns:
        `score` in [0, 1], `extract_ok`, `compare_ok` (0 or 1), `extract_ms`, `compare_ms`.

    Raises:
        ConfigError: a setting is wrong, or the row has no task or no ground truth.
        InfrastructureError: too many comparisons failed, or one did and `failure` says stop.
        The reason of either is also in the journal's `fatal.txt`.
    """
    row = Row(data_source, solution_str, ground_truth, extra_info)
    return await score(row, journal, _baseline, {"task": task, "failure": failure, "timeout_s": timeout_s})


class _EditDistance:
    """Compares texts in a process of its own: a long pair would hold up the event loop."""

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self.close = workers.close

    async def compare(self, prediction: str, truth: str) -> float:
        return await self._workers.compare(measure="edit_distance", prediction=prediction, truth=truth)


def _baseline(task: Any, failure: Any, timeout_s: float) -> TextBaseline:
    return TextBaseline(task, failure, _EditDistance(Workers(1, timeout_s)))
