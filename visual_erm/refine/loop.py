"""Reflect and revise: a policy drafts, sees its own render and what a judge finds, and revises. The best round wins.

    refined = await refine_code("table", Path("reference.png"), policy="http://10.0.0.1:8000/v1")
    refined.best.result.code, refined.best.result.reward

`refine` does the same for one item of many, with servers and renderers that stay open. `visual_erm.refine.run` does it for
a data set.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Annotated, Any

from PIL import Image
from pydantic import Field

from visual_erm.data.prompts import default_prompt
from visual_erm.errors import PolicyUnavailable
from visual_erm.judge.base import Judge
from visual_erm.judge.usage import JudgeUsage
from visual_erm.pipeline import RewardPipeline, RewardResult
from visual_erm.policy.client import Message, PolicyClient, Reply, messages_of
from visual_erm.refine.conversation import History, request_of, revision
from visual_erm.reward.outcome import Outcome
from visual_erm.reward.report import Report
from visual_erm.spec.base import Count, Settings
from visual_erm.spec.judge import JudgeSettings, load_judge_settings
from visual_erm.spec.policy import PolicySettings, load_policy_settings
from visual_erm.spec.task import Task, load_task
from visual_erm.vision.images import Reference, ReferenceCache

NO_JUDGE = "none"
"""Name of the judge under which nothing is judged: the policy looks at its render by itself (the paper's control)."""
_TOO_LONG = re.compile(
    r"context[ _](?:length|window)|max_model_len|maximum model length|prompt is too long|(?:prompt|input) is longer than",
    re.IGNORECASE,
)
"""What servers say of a prompt that does not fit."""


class RefineSettings(Settings):
    """How often a policy revises, and when it is done."""

    rounds: Annotated[int, Field(ge=0)] = 3
    """Revisions after the draft, at most. In the paper, gains fall off after 3."""
    threshold: float | None = None
    """A reward from which on a round is good enough; null: only one without a difference is. Set it to save requests where
    the last small differences do not matter."""
    patience: Count = 2
    """Revisions in a row that are not better than the best round, after which nothing more is asked."""
    history: History = "fresh"
    """`fresh`: each revision is asked with the first prompt and the best draft so far, as in the paper; prompts stay short,
    and look like those of training. `conversation`: all rounds are turns of one chat; the policy sees what it tried, and
    the prompt grows by an image and an answer each round."""


class Ended(str, Enum):
    """Why no further revision was asked for."""

    IDENTICAL = "identical"
    """The judge found no difference."""
    THRESHOLD = "threshold"
    """The reward is good enough."""
    ROUNDS = "rounds"
    """There were as many revisions as there may be."""
    NO_BETTER = "no_better"
    """Nothing improved, `RefineSettings.patience` times."""
    UNCHANGED = "unchanged"
    """Nothing new would come: the same request again at temperature 0, or, without a judge, the same code again."""
    CONTEXT = "context"
    """The next request is longer than what the policy's servers take."""


@dataclass(frozen=True)
class Round:
    """One answer of the policy, and what became of it."""

    reply: Reply
    result: RewardResult
    """Without a judge, its severity and its reward say nothing."""


@dataclass(frozen=True)
class Refined:
    """All rounds of one item. The first is the draft."""

    rounds: tuple[Round, ...]
    best_place: int
    """Place of the round that wins in `rounds`, from 0. With a judge: the one with the largest reward, the first of equal
    ones. Without: the last one that rendered, because nothing says which is best; else the last."""
    ended: Ended

    @property
    def best(self) -> Round:
        """The round that wins."""
        return self.rounds[self.best_place]


class Unjudged(Judge):
    """Stands in for a judge where nothing is judged. Rewards of such a pipeline say nothing."""

    async def judge(
        self, reference: Image.Image, prediction: Image.Image, task: Task, usage: JudgeUsage | None = None
    ) -> Report:
        """Returns an empty report, whatever it is given."""
        return Report()

    async def close(self) -> None:
        """Does nothing."""


async def refine(
    policy: PolicyClient,
    pipeline: RewardPipeline,
    prompt: Sequence[Message],
    reference: Reference,
    settings: RefineSettings,
    judged: bool = True,
) -> Refined:
    """Lets a policy draft, and revise until the settings say that it is done.

    Args:
        policy: The policy.
        pipeline: Renders and judges, with `on_failure: abort`; see `strict`.
        prompt: What asks for the draft, with its images.
        reference: The reference image.
        settings: When it is done.
        judged: False where the pipeline's judge is `Unjudged`.

    Returns:
        All rounds. A failure of the infrastructure is never one of them.

    Raises:
        InfrastructureError: The policy, the renderer or the judge failed.
        ConfigError: A server serves other models, or the judge cannot judge this task.
    """
    rounds: list[Round] = []
    first = asked = list(prompt)
    samples = policy.settings.sampling.temperature > 0
    while True:
        try:
            # With a seed, the same command writes the same again.
            reply = await policy.write(asked, seed=len(rounds) if samples else None)
        except PolicyUnavailable as error:
            if rounds and _TOO_LONG.search(str(error)):
                return Refined(tuple(rounds), winner(rounds, judged), Ended.CONTEXT)
            raise
        rounds.append(Round(reply, await pipeline.score(reply.text, reference)))
        best = winner(rounds, judged)
        if ended := _ended(rounds, best, settings, judged):
            return Refined(tuple(rounds), best, ended)
        draft = rounds[best] if judged and settings.history == "fresh" else rounds[-1]
        request = request_of(draft.reply, draft.result, pipeline.task, judged)
        render = await policy.show(draft.result.image) if draft.result.image else None
        following = revision(settings.history, first, asked, draft.reply, draft.result.code, request, render)
        if following == asked and not samples:
            return Refined(tuple(rounds), best, Ended.UNCHANGED)
        asked = following


def winner(rounds: Sequence[Round], judged: bool = True) -> int:
    """Finds the round that wins.

    Args:
        rounds: The rounds, one or more.
        judged: Whether their rewards count.

    Returns:
        Its place, from 0; see `Refined.best_place`.
    """
    places = range(len(rounds))
    if judged:
        return max(places, key=lambda place: _worth(rounds[place].result))
    return max(places, key=lambda place: (rounds[place].result.render_ok, place))


def _worth(result: RewardResult) -> tuple[float, bool, float]:
    """Sorts results. Two with the least reward of an image still differ in their severity."""
    return result.reward, not result.invalid, -result.severity


def _ended(rounds: Sequence[Round], best: int, settings: RefineSettings, judged: bool) -> Ended | None:
    latest = rounds[-1].result
    if judged:
        if is_identical(latest):
            return Ended.IDENTICAL
        if settings.threshold is not None and rounds[best].result.reward >= settings.threshold:
            return Ended.THRESHOLD
    elif len(rounds) > 1 and latest.code and latest.code == rounds[-2].result.code:
        return Ended.UNCHANGED
    if len(rounds) > settings.rounds:
        return Ended.ROUNDS
    return Ended.NO_BETTER if judged and len(rounds) - 1 - best >= settings.patience else None


def is_identical(result: RewardResult) -> bool:
    """Tells whether a judge found no difference.

    Args:
        result: What became of a draft.

    Returns:
        Whether it was scored with severity 0, by a report that was not cut off.
    """
    return result.outcome is Outcome.SCORED and result.severity == 0 and not (result.report and result.report.truncated)


def strict(settings: JudgeSettings) -> JudgeSettings:
    """Settings of a judge whose failures are raised, and not answered with a neutral reward.

    Args:
        settings: The settings.

    Returns:
        The same with `on_failure: abort`.
    """
    return settings.model_copy(update={"failure": settings.failure.model_copy(update={"on_failure": "abort"})})


async def refine_code(
    task: str | Path | Mapping[str, Any] | Task,
    reference: Reference,
    policy: str | Path | Mapping[str, Any] | PolicySettings,
    judge: str | Path | Mapping[str, Any] | JudgeSettings = "local",
    *,
    prompt: str | None = None,
    settings: RefineSettings | None = None,
) -> Refined:
    """Lets a policy write the code of one image, and revise it by what a judge finds.

    Args:
        task: The task: by name, by file, or as a mapping.
        reference: The image: decoded, encoded, or a file.
        policy: The policy: the URL of its server, or a YAML file.
        judge: The judge: `local`, the URL of its server, a YAML file, or `none`.
        prompt: What the policy is asked; `<image>` in it is the place of the image. By default the prompt of the task.
        settings: When it is done. By default after 3 revisions.

    Returns:
        All rounds; `best` is the one that wins.

    Raises:
        ConfigError: The task, the policy, the judge or the prompt is wrong.
        InfrastructureError: The policy, the renderer or the judge failed.
    """
    loaded = task if isinstance(task, Task) else load_task(task)
    judged = judge != NO_JUDGE
    asked = judge if isinstance(judge, JudgeSettings) else load_judge_settings(judge if judged else "local")
    served = policy if isinstance(policy, PolicySettings) else load_policy_settings(policy)
    text = prompt if prompt is not None else default_prompt(loaded)
    image = await ReferenceCache().load(reference)
    async with (
        PolicyClient(served) as client,
        RewardPipeline(loaded, strict(asked), pages=1, judge=None if judged else Unjudged()) as pipeline,
    ):
        messages = messages_of([{"role": "user", "content": text}], [await client.show(image)])
        return await refine(client, pipeline, messages, image, settings or RefineSettings(), judged)
