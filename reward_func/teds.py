"""TEDS, the markup baseline of the paper, as veRL calls it: `reward=teds`.

    r = TEDS(reply's table, ground truth's table) = 1 - TED / max(|reply|, |truth|), in [0, 1]

Tree-Edit-Distance-based Similarity, Zhong et al., "Image-based table recognition: data, model, and evaluation" (arXiv
1911.10683), with the figures of their published code; `visual_erm.baselines.teds` has the definition. Markdown is turned
into HTML first. It needs each row's markup (`reward_model.ground_truth`), and draws nothing: 0 for a reply without a table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from visual_erm.baselines.adapter import Row, TextBaseline, score
from visual_erm.baselines.worker_pool import Workers
from visual_erm.training.reward_requirements import check_packages, check_tables


async def compute_score(
    data_source: str,
    solution_str: str,
    ground_truth: Any,
    extra_info: Mapping[str, Any],
    *,
    task: str | Mapping[str, Any],
    header_text: bool = True,
    timeout_s: float = 60,
    processes: int = 2,
    failure: Mapping[str, Any] | None = None,
    journal: str | None = None,
    reward_router_address: str | None = None,
    reward_model_tokenizer: Any = None,
) -> dict[str, float]:
    """The reward of one rollout, with the numbers behind it; the same keys for every sample.

    Args:
        data_source: the row's `data_source`; picks the task when there are several.
        solution_str: the policy's reply.
        ground_truth: the row's `reward_model.ground_truth`: a table in HTML or Markdown.
        extra_info: the row's `extra_info`; names the row in messages and in the journal.
        task: a task or a mixture of tables by name, file or mapping.
        header_text: whether the text of header cells (`th`) counts; the published code compares their tags only.
        timeout_s: CPU seconds for one comparison; over it the sample gets a neutral reward. A reply with more than three
            times the elements of the ground truth is not compared: 0.
        processes: comparisons at a time in one reward worker, a core each.
        failure: see `visual_erm.judge.FailurePolicy`.
        journal: folder for one JSON line per call, in one file per worker.
        reward_router_address: ignored.
        reward_model_tokenizer: ignored.

    Returns:
        `score` in [0, 1], `extract_ok`, `compare_ok` (0 or 1), `extract_ms`, `compare_ms`.

    Raises:
        ConfigError: a setting is wrong, the task is not one of tables, or the row has no ground truth.
        InfrastructureError: too many comparisons failed, or one did and `failure` says stop.
        The reason of either is also in the journal's `fatal.txt`.
    """
    row = Row(data_source, solution_str, ground_truth, extra_info)
    settings = {
        "task": task,
        "failure": failure,
        "header_text": header_text,
        "timeout_s": timeout_s,
        "processes": processes,
    }
    return await score(row, journal, _baseline, settings)


class _Teds:
    """Compares tables in processes of their own."""

    def __init__(self, header_text: bool, workers: Workers) -> None:
        self._header_text = header_text
        self._workers = workers
        self.close = workers.close

    async def compare(self, prediction: str, truth: str) -> float:
        return await self._workers.compare(
            measure="teds", prediction=prediction, truth=truth, header_text=self._header_text
        )


def _baseline(task: Any, failure: Any, header_text: bool, timeout_s: float, processes: int) -> TextBaseline:
    check_packages("teds", ["apted", "lxml"])
    baseline = TextBaseline(task, failure, _Teds(header_text, Workers(processes, timeout_s)))
    check_tables(baseline.tasks)
    return baseline
