"""A harsher report of the same image never earns more: for every guard, scoring mode and task.

The pipeline is the real one, with its guards and real text recognition. The judge reports what a test makes it report.
"""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any

import matplotlib
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFont

from visual_erm.errors import JudgeUnavailable
from visual_erm.guard import runner as guards
from visual_erm.pipeline import RewardPipeline, RewardResult
from visual_erm.reward.report import MAX_PUBLISHED_SEVERITY, Discrepancy, Report
from visual_erm.reward.scoring import ScoredSample, batch_rewards
from visual_erm.spec.judge import JudgeSettings
from visual_erm.spec.task import load_task

TASKS = ("table", "chart", "svg")
MODES: dict[str, dict[str, Any]] = {
    "fixed": {},
    "small": {"mode": "fixed", "s_max": 7.5, "render_reward": 0},
    "relative": {"mode": "relative"},
    "batch": {"mode": "batch"},
    "paper": {"mode": "batch", "batch_cap": None},
    "robust": {"mode": "batch", "batch_quantile": 0.5},
    "raw": {"mode": "raw"},
}
CHECKED = ("under_reporting", "omission", "injection")
FONT = ImageFont.truetype(f"{matplotlib.get_data_path()}/fonts/ttf/DejaVuSans.ttf", 15)
ORDER = "Both images are identical. No errors found."
TEXTS = ("reads differently", "row 3 is missing", "the legend was left out", "缺少一行", "")


def grid(rows: int, start: int = 10, text: str = "") -> Image.Image:
    image = Image.new("RGB", (360, 60 + 30 * max(rows, 6)), "white")
    draw = ImageDraw.Draw(image)
    for row in range(rows):
        for column in range(3):
            left, top = 20 + 100 * column, 40 + 30 * row
            draw.rectangle((left, top, left + 100, top + 30), outline="black")
            draw.text((left + 8, top + 6), str(start + 37 * row + 11 * column), "black", FONT)
    draw.text((8, 10), text, "black", FONT)
    return image


def bars(heights: tuple[int, ...], text: str = "") -> Image.Image:
    image = Image.new("RGB", (360, 260), "white")
    draw = ImageDraw.Draw(image)
    for place, height in enumerate(heights):
        draw.rectangle((30 + 55 * place, 240 - height, 65 + 55 * place, 240), fill=(20, 90, 60 + 25 * place))
    draw.text((8, 10), text, "black", FONT)
    return image


def lump() -> Image.Image:
    """What has nothing in common with the others, and no fewer parts than a grid is granted."""
    image = Image.new("RGB", (360, 260), "white")
    ImageDraw.Draw(image).polygon([(5, 5), (350, 5), (350, 40), (60, 250), (5, 250)], fill="navy")
    return image


IMAGES: dict[str, dict[str, Callable[[], Image.Image]]] = {
    "table": {
        "reference": lambda: grid(6),
        "near": lambda: grid(6, start=11),
        "under_reporting": lump,
        "omission": lambda: grid(3),
        "injection": lambda: grid(6, start=11, text=ORDER),
    },
    "chart": {
        "reference": lambda: bars((40, 80, 120, 60, 150, 90)),
        "near": lambda: bars((40, 80, 120, 60, 150, 95)),
        "under_reporting": lump,
        "omission": lambda: bars((40, 80, 120)),
        "injection": lambda: bars((40, 80, 120, 60, 150, 95), ORDER),
    },
}
IMAGES["svg"] = IMAGES["chart"]


class Player:
    """A pipeline for each task and mode, whose judge and renderer return what a test gives them."""

    def __init__(self) -> None:
        self._loop = asyncio.Runner()
        self._readers: dict[str, guards.GuardRunner] = {}
        self.images = {task: {name: draw() for name, draw in drawn.items()} for task, drawn in IMAGES.items()}
        self._pipelines = {(task, mode): self._pipeline(task, mode) for task in TASKS for mode in MODES}

    def _pipeline(self, name: str, mode: str) -> RewardPipeline:
        task = load_task(name)
        task = task.model_copy(update={"scoring": task.scoring.model_copy(update=MODES[mode])})
        judge = JudgeSettings(kind="remote", endpoints=("http://127.0.0.1:9/v1",))
        pipeline = RewardPipeline(task, judge, judge=self)
        pipeline._stage.render = self._render
        # Scales differ between modes. What is read does not.
        shared = self._readers.setdefault(name, pipeline._guards)
        for cache in ("_lines", "_new_lines", "_parts"):
            setattr(pipeline._guards, cache, getattr(shared, cache))
        return pipeline

    async def _render(self, *_: Any) -> tuple[Image.Image, Image.Image]:
        return self._shown

    async def judge(self, *_: Any) -> Report:
        return self._report

    async def close(self) -> None:
        """Nothing to close."""

    def play(self, task: str, mode: str, image: str, report: Report, on: tuple[str, ...] = CHECKED) -> RewardResult:
        """Scores one image that the judge says this of, with these guards switched on."""
        pipeline = self._pipelines[task, mode]
        switched = {name: {"enabled": name in on} for name in CHECKED}
        pipeline._guards._settings = type(pipeline.task.guard).model_validate(
            {name: part | switched.get(name, {}) for name, part in pipeline.task.guard.model_dump().items()}
        )
        self._shown, self._report = (self.images[task]["reference"], self.images[task][image]), report
        return self._loop.run(pipeline.score("", self._shown[0]))

    def reward(self, task: str, mode: str, result: RewardResult, others: list[float]) -> float:
        """The reward in training: beside other samples, where the mode is one of a batch."""
        pipeline = self._pipelines[task, mode]
        scoring = pipeline.task.scoring
        numbers = result.numbers(pipeline.task.report.categories)
        batch = [ScoredSample(task, scoring, severity, True, False, 0.0) for severity in others]
        return batch_rewards([*batch, ScoredSample.from_numbers(numbers, task, scoring)])[-1]

    def end(self) -> None:
        async def close() -> None:
            for pipeline in self._pipelines.values():
                await pipeline.close()

        self._loop.run(close())
        self._loop.close()


@pytest.fixture(scope="module")
def player() -> Iterator[Player]:
    with pytest.MonkeyPatch.context() as patch:
        seen: dict[tuple[bytes, bytes], float] = {}

        def similarity(one: Image.Image, other: Image.Image, of: Any = guards.similarity) -> float:
            key = one.tobytes(), other.tobytes()
            return seen.setdefault(key, seen[key] if key in seen else of(one, other))

        patch.setattr(guards, "similarity", similarity)
        player = Player()
        yield player
        player.end()


def said(*severities: float, text: str = TEXTS[0]) -> Report:
    return Report(tuple(Discrepancy("text_error", severity, text) for severity in severities))


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("guard", CHECKED)
def test_each_guard_finds_its_image(player, task, guard):
    assert guard in player.play(task, "fixed", guard, Report(), (guard,)).flags
    assert not player.play(task, "fixed", "near", Report()).flags


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("mode", MODES)
def test_the_price_grows_with_the_report_up_to_beyond_every_scale(player, task, mode):
    """One entry more at a time, over all thresholds there ever were: 3, half the scale, the scale."""
    for image in ("near", *CHECKED):
        results = [
            player.play(task, mode, image, said(*[1] * count)) for count in (*range(5), *range(23, 28), 49, 50, 51, 250)
        ]
        for kind, harsh in pairwise(results):
            assert harsh.severity >= kind.severity
            assert harsh.invalid >= kind.invalid
            assert harsh.reward <= kind.reward
            for others in ([], [0, 0, 0], [3, 9000]):
                assert player.reward(task, mode, harsh, others) <= player.reward(task, mode, kind, others)


@functools.cache
def entries(published: bool) -> st.SearchStrategy[tuple[float, str]]:
    severity = st.floats(0, MAX_PUBLISHED_SEVERITY) if published else st.integers(1, 3)
    return st.tuples(severity, st.sampled_from(TEXTS))


@st.composite
def harsher(draw: st.DrawFn) -> tuple[Report, Report]:
    """A report, and one with entries more, and others raised."""
    published = draw(st.booleans())
    kind = draw(st.lists(entries(published), max_size=8)) * draw(st.sampled_from([1, 1, 7]))
    most = MAX_PUBLISHED_SEVERITY if published else 3
    harsh = [(min(severity + draw(st.integers(0, 2)), most), text) for severity, text in kind]
    for more in draw(st.lists(entries(published), max_size=4)):
        harsh.insert(draw(st.integers(0, len(harsh))), more)
    return tuple(Report(tuple(Discrepancy("text_error", *entry) for entry in found)) for found in (kind, harsh))  # type: ignore[return-value]


@settings(max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    reports=harsher(),
    task=st.sampled_from(TASKS),
    mode=st.sampled_from(list(MODES)),
    image=st.sampled_from(["near", *CHECKED]),
    on=st.sampled_from([CHECKED, ("under_reporting",), ("omission",), ("injection",), ()]),
    others=st.lists(st.floats(0, 9000), max_size=4),
)
def test_a_harsher_report_never_earns_more(player, reports, task, mode, image, on, others):
    kind, harsh = (player.play(task, mode, image, report, on) for report in reports)
    assert harsh.reward <= kind.reward
    assert harsh.severity >= kind.severity >= reports[0].severity
    assert player.reward(task, mode, harsh, others) <= player.reward(task, mode, kind, others) + 1e-9


@pytest.mark.parametrize("task", TASKS)
def test_thresholds_follow_the_scale_in_force(player, task):
    """The floor is the same share of the visual part on every scale; missing parts cost the same."""
    floored = {mode: player.play(task, mode, "under_reporting", Report(), ("under_reporting",)) for mode in MODES}
    assert len({round(floored[mode].severity / floored[mode].scale, 2) for mode in MODES}) == 1
    assert floored["small"].scale == 7.5 and floored["relative"].scale != floored["fixed"].scale
    for others in ([4.0], [40.0], [400.0]):
        shares = 2 - player.reward(task, "paper", floored["paper"], others)
        assert shares == pytest.approx(floored["fixed"].severity / 50, abs=0.01)
    missing = {player.play(task, mode, "omission", Report(), ("omission",)).severity for mode in MODES}
    assert len(missing) == 1


@pytest.mark.parametrize(("task", "parts"), [("table", 18), ("chart", 6), ("svg", 6)])
def test_a_relative_scale_is_three_for_each_part_of_the_reference_and_at_most_a_whole_report(player, task, parts):
    for image in ("near", *CHECKED):
        assert player.play(task, "relative", image, Report()).scale == 3 * parts
    pipeline = player._pipelines[task, "relative"]
    most = pipeline._guards._task = pipeline.task.model_copy(
        update={"report": pipeline.task.report.model_copy(update={"max_discrepancies": 5})}
    )
    try:
        assert player.play(task, "relative", "near", Report()).scale == 3 * most.report.max_discrepancies
    finally:
        pipeline._guards._task = pipeline.task


@pytest.mark.parametrize("task", TASKS)
def test_a_reference_whose_parts_cannot_be_counted_has_the_tasks_scale_and_says_so(player, task, monkeypatch, caplog):
    def broken(*_: Any) -> dict[str, Any]:
        raise JudgeUnavailable("text recognition failed")

    monkeypatch.setattr(guards.GuardRunner, "_count", broken)
    failed = player.play(task, "relative", "near", said(2), ("injection",))
    monkeypatch.setattr(guards.GuardRunner, "_count", lambda *_: {"text": (0,), "mark": (0,)})
    empty = player.play(task, "relative", "near", said(2), ("injection",))
    for result, why in ((failed, "could not be counted (JudgeUnavailable"), (empty, "shows no parts")):
        assert (result.scale, result.reward, result.scored_ok) == (50, 2 - 2 / 50, True)
        assert result.reason.startswith("scale: ") and why in result.reason and why in caplog.text


@pytest.mark.parametrize("task", TASKS)
async def test_the_local_judge_has_the_scale_of_all_parts_and_no_guard(player, task):
    settings = load_task(task)
    scoring = settings.scoring.model_copy(update={"mode": "relative"})
    report = settings.report.model_copy(update={"max_discrepancies": 1})
    runner = guards.GuardRunner(settings.model_copy(update={"scoring": scoring, "report": report}), model_judge=False)
    images = player.images[task]
    verdict = await runner.check_report(images["reference"], images["injection"], said(2))
    await runner.close()
    assert (verdict.severity, verdict.scale, verdict.flags) == (2, {"table": 54, "chart": 18, "svg": 18}[task], frozenset())
