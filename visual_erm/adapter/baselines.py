"""`TextScorer` and `ImageScorer`: the baselines' rewards of a run, a pipeline for each task and one measure for all.

The baselines of `reward_func/` make one per event loop.
"""

from __future__ import annotations

import asyncio
from typing import Any

from visual_erm.adapter.reward_function import RendererCheck, Rollout, Scored
from visual_erm.baselines.pipeline import BaselineResult, ImageMeasure, ImagePipeline, TextMeasure, TextPipeline
from visual_erm.data.row_contract import reference_of, task_of, truth_of
from visual_erm.errors import ConfigError
from visual_erm.spec.base import plain, validate
from visual_erm.spec.judge import FailurePolicy
from visual_erm.spec.task import Task, load_tasks


class TextScorer:
    """Compares a reply's code with the row's ground truth.

    Args:
        task: A task or a mixture of tasks, by name, file or mapping.
        failure: A mapping as `FailurePolicy` takes it; None: its defaults.
        measure: Compares; closed with the scorer.

    Raises:
        ConfigError: A setting is wrong.
    """

    def __init__(self, task: Any, failure: Any, measure: TextMeasure) -> None:
        self.tasks: dict[str, Task] = load_tasks(plain(task))
        policy = validate(FailurePolicy, failure or {}, "failure")
        self._measure = measure
        self._pipelines = {name: TextPipeline(task, measure, policy) for name, task in self.tasks.items()}

    async def score(self, rollout: Rollout) -> Scored:
        """Scores one rollout.

        Args:
            rollout: What veRL passed.

        Returns:
            The numbers, and reason and outcome for the rollout log.

        Raises:
            ConfigError: The row does not fit.
            InfrastructureError: The run must stop.
        """
        pipeline = self._pipelines[task_of(self.tasks, rollout.data_source, rollout.name)]
        truth = truth_of(rollout.ground_truth, rollout.name)
        try:
            return _scored(await pipeline.score(rollout.reply, truth))
        except ConfigError as error:
            raise ConfigError(f"{rollout.name}: {error}; mend its code, or take the row out") from error

    def status(self) -> None:
        """There is no judge."""

    async def close(self) -> None:
        """Closes the measure."""
        await self._measure.close()


class ImageScorer:
    """Compares the image of a reply's code with the row's reference.

    Args:
        task: A task or a mixture of tasks, by name, file or mapping.
        failure: A mapping as `FailurePolicy` takes it; None: its defaults.
        measure: Compares; closed with the scorer.
        data_root: Folder that the references' paths start from; None: the working directory.
        allow_outside: Take references outside of it too, see `reference_of`.

    Raises:
        ConfigError: A setting is wrong.
    """

    def __init__(
        self, task: Any, failure: Any, measure: ImageMeasure, data_root: str | None, allow_outside: bool = False
    ) -> None:
        self.tasks: dict[str, Task] = load_tasks(plain(task))
        policy = validate(FailurePolicy, failure or {}, "failure")
        self._measure = measure
        self._data_root, self._allow_outside = data_root, allow_outside
        self._pipelines = {name: ImagePipeline(task, measure, policy) for name, task in self.tasks.items()}
        self._check = RendererCheck(self.tasks)

    async def score(self, rollout: Rollout) -> Scored:
        """Scores one rollout.

        Args:
            rollout: What veRL passed.

        Returns:
            The numbers, and reason and outcome for the rollout log.

        Raises:
            ConfigError: The row does not fit.
            InfrastructureError: The run must stop.
        """
        name = task_of(self.tasks, rollout.data_source, rollout.name)
        pipeline = self._pipelines[name]
        self._check.check(rollout, name, pipeline.renderer_version)
        reference = reference_of(rollout.extra_info, self._data_root, rollout.name, self._allow_outside)
        return _scored(await pipeline.score(rollout.reply, reference))

    def status(self) -> None:
        """There is no judge."""

    async def close(self) -> None:
        """Closes the measure and every pipeline."""
        await asyncio.gather(self._measure.close(), *(pipeline.close() for pipeline in self._pipelines.values()))


def _scored(result: BaselineResult) -> Scored:
    return Scored(result.numbers(), {"reason": result.reason, "outcome": result.outcome.value})
