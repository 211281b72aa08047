"""Scores replies outside of training: the reward of any judge, and the measures that compare with the ground truth.

    async with ReplyScorer(tasks, load_judge_settings("local"), ["ssim"]) as scorer:
        entries = await scorer.score("table", reply, reference, truth)

Nothing is guessed: where the infrastructure fails there is no value, and the reason stands in its place.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from typing_extensions import Self

from visual_erm.baselines.dino import Dino
from visual_erm.baselines.measures import EditDistance, Ssim, Teds
from visual_erm.baselines.pipeline import ImageMeasure, TextMeasure, TextPipeline
from visual_erm.baselines.worker_pool import Workers
from visual_erm.errors import ComparisonFailed, ConfigError, InfrastructureError
from visual_erm.jobs.rows import FAILED
from visual_erm.pipeline import RewardPipeline, RewardResult, pipelines_of
from visual_erm.spec.judge import FailurePolicy, JudgeSettings
from visual_erm.spec.task import Task
from visual_erm.training.reward_requirements import MARKUP, check_packages
from visual_erm.vision.images import ReferenceCache

TEXT_MEASURES = ("teds", "edit_distance")
"""Names of the measures that compare code with the ground truth's."""
IMAGE_MEASURES = ("ssim", "dino")
"""Names of the measures that compare images, made only where they are asked for."""
MEASURES = (*TEXT_MEASURES, *IMAGE_MEASURES)
UNMEASURED = "unmeasured"
"""Key of a line: by name of a measure, why it has no value."""
SEVERITIES = "severities"
"""Key of a line: by category of the task, the sum of its severities; null where there is no report."""
LENIENT = FailurePolicy(max_failure_share=1.0)
"""A sample that could not be scored is left out and named; the others go on."""
TIMEOUTS_S = {"teds": 60.0, "edit_distance": 10.0}
"""CPU seconds of one comparison, as in training."""
SSIM_SIDE = 1024
"""Longest side in pixels, as in training."""
DINO_BATCH = 8


class ReplyScorer:
    """Scores replies of several tasks. Bound to the event loop of its first reply.

    Args:
        tasks: Tasks by name.
        judge: The judge's settings.
        also: Names of IMAGE_MEASURES to add.
        dino: The checkpoint of `dino`.
        measured: Compare with the ground truth, and by `also`. False: the reward is all that is wanted.

    Raises:
        ConfigError: The judge's settings are wrong, a measure is unknown, or what it needs is missing.
    """

    def __init__(
        self,
        tasks: Mapping[str, Task],
        judge: JudgeSettings,
        also: Sequence[str] = (),
        dino: str | None = None,
        *,
        measured: bool = True,
    ) -> None:
        check_measures(also, dino)
        self._pipelines = pipelines_of(tasks, judge.model_copy(update={"failure": LENIENT}))
        self._text = _text_measures(tasks) if measured else {}
        self._text_pipelines = {
            (task, name): TextPipeline(tasks[task], measure, LENIENT)
            for (task, name), measure in _of_tasks(tasks, self._text).items()
        }
        self._images: dict[str, ImageMeasure] = {}
        if "ssim" in also:
            self._images["ssim"] = Ssim(SSIM_SIDE)
        if "dino" in also and dino:
            self._images["dino"] = Dino(dino, "auto", DINO_BATCH)
        self._references = ReferenceCache()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    async def score(self, task: str, reply: str, reference: Any, truth: str) -> dict[str, Any]:
        """Scores one reply.

        Args:
            task: Name of its task.
            reply: The policy's reply.
            reference: The reference image: decoded, encoded, or a file.
            truth: Code of the reference; empty where it is not known.

        Returns:
            The numbers of the result as the rollout log has them, with `reason`, `outcome`, `report` and SEVERITIES, and a
            value for each measure. FAILED where it could not be scored, UNMEASURED where a measure has no value.
        """
        pipeline = self._pipelines[task]
        result = await pipeline.score(reply, reference)
        found = entries_of(result, pipeline)
        if not result.scored_ok:
            return {**found, FAILED: result.reason}
        return {**found, **await self._measure(task, reply, reference, truth, result)}

    async def close(self) -> None:
        """Closes renderers, judge and measures. May be called twice."""
        closing = [pipeline.close() for pipeline in self._pipelines.values()]
        closing += [measure.close() for measure in self._text.values()]
        closing += [measure.close() for measure in self._images.values()]
        await asyncio.gather(*closing)

    async def _measure(self, task: str, reply: str, reference: Any, truth: str, result: RewardResult) -> dict[str, Any]:
        values: dict[str, float] = {}
        missing: dict[str, str] = {}
        for name in TEXT_MEASURES if truth else ():
            if (task, name) in self._text_pipelines:
                try:
                    found = await self._text_pipelines[task, name].score(reply, truth)
                except ConfigError as error:
                    missing[name] = str(error)
                    continue
                if found.scored_ok:
                    values[name] = found.reward
                else:
                    missing[name] = found.reason
        for name, measure in self._images.items():
            # As in the baselines: a reply without an image has nothing in common with its reference.
            if result.image is None:
                values[name] = 0.0
                continue
            try:
                values[name] = await measure.compare(result.image, await self._references.load(reference))
            except (ComparisonFailed, InfrastructureError) as error:
                missing[name] = f"{type(error).__name__}: {error}"
        return {**values, **({UNMEASURED: missing} if missing else {})}


def check_measures(also: Sequence[str], dino: str | None) -> None:
    """Checks the measures that a command was asked for.

    Args:
        also: Names.
        dino: The checkpoint of `dino`.

    Raises:
        ConfigError: A name is unknown, or what it needs is missing.
    """
    if unknown := [name for name in also if name not in IMAGE_MEASURES]:
        raise ConfigError(f"--also {unknown[0]}: no such measure; known: {', '.join(IMAGE_MEASURES)}")
    if "dino" in also:
        if not dino:
            raise ConfigError("--also dino: name a DINOv2 or DINOv3 checkpoint as --dino-model")
        check_packages("dino_similarity", ["torch", "transformers"])


def entries_of(result: RewardResult, pipeline: RewardPipeline) -> dict[str, Any]:
    """What a line says of a reply that was scored.

    Args:
        result: The result.
        pipeline: The pipeline of the reply's task.

    Returns:
        The numbers, `reason`, `outcome`, `report`, and SEVERITIES.
    """
    form, report = pipeline.task.report, result.report
    severities = None
    if report is not None:
        sums: Counter[str] = Counter()
        for one in report.discrepancies:
            sums[one.category] += one.severity  # type: ignore[assignment]  # may be 1.5
        severities = {name: float(sums[name]) for name in form.categories}
    return {
        **result.numbers(form.categories),
        "reason": result.reason,
        "outcome": result.outcome.value,
        "report": report.wire(form) if report is not None else None,
        SEVERITIES: severities,
    }


def _text_measures(tasks: Mapping[str, Task]) -> dict[str, TextMeasure]:
    found: dict[str, TextMeasure] = {"edit_distance": EditDistance(Workers(1, TIMEOUTS_S["edit_distance"]))}
    if any(set(task.languages) <= MARKUP for task in tasks.values()):
        check_packages("teds", ["apted", "lxml"])
        found["teds"] = Teds(True, Workers(2, TIMEOUTS_S["teds"]))
    return found


def _of_tasks(tasks: Mapping[str, Task], measures: Mapping[str, TextMeasure]) -> dict[tuple[str, str], TextMeasure]:
    """Which measure compares replies of which task: TEDS those that are tables."""
    return {
        (task, name): measure
        for task in tasks
        for name, measure in measures.items()
        if name != "teds" or set(tasks[task].languages) <= MARKUP
    }
