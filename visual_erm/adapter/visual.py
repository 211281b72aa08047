"""`VisualScorer`: the visual-equivalence reward of a run, a pipeline for each task and one judge for all.

`reward_func/visual_equivalence.py` makes one per event loop.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from visual_erm.adapter.reward_function import RendererCheck, Rollout, Scored
from visual_erm.data.row_contract import reference_of, task_of
from visual_erm.errors import ConfigError
from visual_erm.judge.usage import JudgeStats, publish
from visual_erm.pipeline import pipelines_of
from visual_erm.refine.feedback import feedback
from visual_erm.spec.base import plain
from visual_erm.spec.judge import load_judge_settings
from visual_erm.spec.task import load_tasks


class VisualScorer:
    """Scores rollouts by what a judge reports.

    Args:
        task: A task or a mixture of tasks, by name, file or mapping.
        judge: Judge settings, by name, URL, file or mapping.
        data_root: Folder that the references' paths start from; None: the working directory.
        allow_outside: Take references outside of it too, see `reference_of`.
        router: Host and port of the reward model that veRL runs itself, for `judge: colocated`.

    Raises:
        ConfigError: A setting is wrong, or the judge is colocated and veRL runs no reward model.
    """

    def __init__(
        self,
        task: str | Mapping[str, Any],
        judge: str | Mapping[str, Any],
        data_root: str | None,
        router: str | None,
        allow_outside: bool = False,
    ) -> None:
        settings = load_judge_settings(plain(judge))
        if settings.kind == "colocated":
            if not router:
                raise ConfigError("judge=colocated, but veRL runs no reward model: set reward.reward_model.enable=true")
            settings = settings.model_copy(update={"endpoints": (f"http://{router}/v1",)})
        self.tasks = load_tasks(plain(task))
        self.stats = JudgeStats()
        if settings.metrics_port:
            publish(self.stats, settings.metrics_port, settings.metrics_host)
        self.pipelines = pipelines_of(self.tasks, settings)
        # Of all tasks: veRL takes the first result's keys for all.
        self._categories = list(dict.fromkeys(name for task in self.tasks.values() for name in task.report.categories))
        self._check = RendererCheck(self.tasks)
        self._data_root, self._allow_outside = data_root, allow_outside

    async def score(self, rollout: Rollout) -> Scored:
        """Scores one rollout by the pipeline of its task.

        Args:
            rollout: What veRL passed.

        Returns:
            The numbers, and reason, outcome and report for the rollout log. Of a turn also what the policy is told.

        Raises:
            ConfigError: The row does not fit.
            InfrastructureError: The run must stop.
        """
        name = task_of(self.tasks, rollout.data_source, rollout.name)
        pipeline = self.pipelines[name]
        self._check.check(rollout, name, pipeline.renderer_version)
        reference = reference_of(rollout.extra_info, self._data_root, rollout.name, self._allow_outside)
        result = await pipeline.score(rollout.reply, reference)
        self.stats.add(result.judge_usage)
        report = result.report.wire(pipeline.task.report) if result.report else None
        details = {"reason": result.reason, "outcome": result.outcome.value, "report": report}
        told = feedback(result, pipeline.task) if rollout.is_turn and result.scored_ok else ""
        return Scored(result.numbers(self._categories), details, told, result.image if told else None)

    def status(self) -> dict[str, Any]:
        """Returns what the judge has done so far, as plain JSON."""
        return self.stats.summary()

    async def close(self) -> None:
        """Closes every pipeline and the judge."""
        await asyncio.gather(*(pipeline.close() for pipeline in self.pipelines.values()))
