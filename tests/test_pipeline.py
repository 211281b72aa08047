"""One sample through every stage, and whose fault it is when one fails. Real Chromium, the local judge, real sockets."""

from __future__ import annotations

import asyncio
import io

import cv2
import psutil
import pytest
from PIL import Image
from ports import free_port

from visual_erm.errors import JudgeUnavailable, ReferenceUnavailable, RendererUnavailable, TooManyFailures
from visual_erm.extract import Code
from visual_erm.pipeline import RewardPipeline, pipelines_of
from visual_erm.render.base import make_renderer
from visual_erm.reward.outcome import Outcome
from visual_erm.reward.report import Report
from visual_erm.spec.judge import FailurePolicy, JudgeSettings
from visual_erm.spec.task import Task, load_task, load_tasks
from visual_erm.vision.images import load_image

TRUE = (
    "<table><tr><th>City</th><th>Rain</th></tr><tr><td>Lima</td><td>13</td></tr><tr><td>Oslo</td><td>763</td></tr></table>"
)
WRONG = TRUE.replace("763", "736")


@pytest.fixture(scope="module")
def task() -> Task:
    return load_task("table")


@pytest.fixture(scope="module")
def reference(task: Task) -> Image.Image:
    async def draw() -> Image.Image:
        renderer = make_renderer(task.render, pages=1)
        try:
            return await renderer.render(Code("html", TRUE))
        finally:
            await renderer.close()

    return asyncio.run(draw())


@pytest.fixture
def dead_endpoint() -> str:
    return f"http://127.0.0.1:{free_port()}/v1"


def unreachable(endpoint: str, **failure: object) -> JudgeSettings:
    return JudgeSettings(kind="remote", endpoints=(endpoint,), unavailable_timeout_s=0.2, failure=FailurePolicy(**failure))


async def test_a_correct_reply_earns_the_maximum(task: Task, reference: Image.Image) -> None:
    async with RewardPipeline(task, JudgeSettings(kind="local"), pages=1) as pipeline:
        for reply in (
            TRUE,
            f"Here it is:\n```html\n{TRUE}\n```",
            "| City | Rain |\n|---|---|\n| Lima | 13 |\n| Oslo | 763 |",
        ):
            result = await pipeline.score(reply, reference)
            assert (result.reward, result.severity, result.render_ok, result.scored_ok) == (2.0, 0, True, True), reply


async def test_a_wrong_number_is_named_and_costs(task: Task, reference: Image.Image) -> None:
    async with RewardPipeline(task, JudgeSettings(kind="local"), pages=1) as pipeline:
        result = await pipeline.score(WRONG, reference)
    assert result.report is not None
    (error,) = result.report.discrepancies
    assert error.category == "numeric_error"
    assert "763" in error.description and "736" in error.description
    assert 1 < result.reward < 2 and result.severity == error.severity


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("I cannot see a table.", "NoCodeError"),
        ("", "NoCodeError"),
        ("<table><tr><td style='border: none'></td></tr></table>", "BlankImage"),
    ],
)
async def test_a_reply_without_an_image_earns_the_minimum(
    task: Task, reference: Image.Image, reply: str, reason: str
) -> None:
    async with RewardPipeline(task, JudgeSettings(kind="local"), pages=1) as pipeline:
        result = await pipeline.score(reply, reference)
    assert (result.reward, result.render_ok, result.scored_ok) == (0.0, False, True)
    assert result.reason.startswith(reason)
    assert result.flags == ({"blank"} if reason == "BlankImage" else set())


@pytest.mark.parametrize("color", ["red", "white", "#fafafa"])
async def test_a_picture_of_one_color_is_blank_only_where_the_reference_has_more(color: str) -> None:
    reply = (
        f'<svg viewBox="0 0 24 24" xmlns="http://www.w3.org/2000/svg"><rect width="24" height="24" fill="{color}"/></svg>'
    )
    same = Image.new("RGB", (336, 336), color)
    more = same.copy()
    more.paste("navy", (50, 50, 200, 200))
    async with RewardPipeline(load_task("svg"), JudgeSettings(kind="local"), pages=1) as pipeline:
        right, blank = await asyncio.gather(pipeline.score(reply, same), pipeline.score(reply, more))
    assert (right.reward, right.flags) == (2.0, frozenset())
    assert (blank.reward, blank.flags, blank.outcome) == (0.0, {"blank"}, Outcome.BLANK)


async def test_a_judge_that_is_down_costs_the_policy_nothing(
    task: Task, reference: Image.Image, dead_endpoint: str
) -> None:
    async with RewardPipeline(task, unreachable(dead_endpoint), pages=1) as pipeline:
        pipeline._fallback.record_success(4)
        pipeline._fallback.record_success(8)
        result = await pipeline.score(WRONG, reference)
    assert (result.scored_ok, result.render_ok, result.severity) == (False, True, 6.0)
    assert result.reward == pytest.approx(1 + 1 - 6 / 50)
    assert result.reason.startswith("JudgeUnavailable")


async def test_abort_stops_at_the_first_failure(task: Task, reference: Image.Image, dead_endpoint: str) -> None:
    async with RewardPipeline(task, unreachable(dead_endpoint, on_failure="abort"), pages=1) as pipeline:
        with pytest.raises(JudgeUnavailable):
            await pipeline.score(WRONG, reference)


async def test_too_many_failures_stop_the_run_even_under_neutral(
    task: Task, reference: Image.Image, dead_endpoint: str
) -> None:
    settings = unreachable(dead_endpoint, window=4, max_failure_share=0.5)
    async with RewardPipeline(task, settings, pages=1) as pipeline:
        for _ in range(2):
            assert not (await pipeline.score(WRONG, reference)).scored_ok
        with pytest.raises(TooManyFailures, match="3 of the last 3"):
            await pipeline.score(WRONG, reference)


async def test_a_missing_reference_is_our_fault(task: Task, tmp_path) -> None:
    async with RewardPipeline(task, JudgeSettings(kind="local"), pages=1) as pipeline:
        result = await pipeline.score(TRUE, tmp_path / "gone.png")
    assert (result.scored_ok, result.render_ok) == (False, True)
    assert "gone.png does not exist" in result.reason


async def test_every_sample_has_the_same_numbers(task: Task, reference: Image.Image) -> None:
    async with RewardPipeline(task, JudgeSettings(kind="local"), pages=1) as pipeline:
        replies = (TRUE, WRONG, "no table")
        numbers = [(await pipeline.score(reply, reference)).numbers(task.report.categories) for reply in replies]
    assert len({tuple(n) for n in numbers}) == 1
    assert all(type(value) is float for n in numbers for value in n.values())
    always = "score render_ok severity scored_ok numeric_error_count render_ms guard_blank guard_injection guard_ms"
    assert set(always.split()) <= set(numbers[0])


async def test_samples_of_all_tasks_come_to_their_renderers_in_the_order_they_are_given(
    reference: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step's many quick drawings do not wait for all of its slow tables."""
    begun: list[str] = []

    class Never:
        renderer_version = "never"

        async def render(self, code: Code) -> Image.Image:
            begun.append(code.text)
            return await asyncio.Future()

        async def close(self) -> None: ...

    monkeypatch.setattr("visual_erm.pipeline.make_renderer", lambda *_, **__: Never())
    pipelines = pipelines_of(load_tasks("mixed"), JudgeSettings(kind="local"))
    given = [("table", TRUE.replace("763", str(number))) for number in range(100)]
    given += [("svg", f'<svg width="{number}"></svg>') for number in range(100)]
    scored = [asyncio.create_task(pipelines[task].score(reply, reference)) for task, reply in given]
    while len(begun) < 48:
        await asyncio.sleep(0.01)
    await asyncio.sleep(0.2)
    assert sorted(begun) == sorted(reply for _, reply in given[:48])
    for one in scored:
        one.cancel()
    await asyncio.gather(*scored, return_exceptions=True)
    await asyncio.gather(*(one.close() for one in pipelines.values()))


async def test_closing_leaves_no_process(task: Task, reference: Image.Image) -> None:
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    pipeline = RewardPipeline(task, JudgeSettings(kind="local"))
    await asyncio.gather(*(pipeline.score(TRUE, reference) for _ in range(8)))
    assert {child.pid for child in psutil.Process().children(recursive=True)} - before
    await pipeline.close()
    await pipeline.close()
    assert not {child.pid for child in psutil.Process().children(recursive=True)} - before


def test_a_transparent_reference_is_seen_on_white(tmp_path) -> None:
    Image.new("RGBA", (4, 4), (0, 0, 0, 0)).save(tmp_path / "clear.png")
    assert load_image(tmp_path / "clear.png").getpixel((0, 0)) == (255, 255, 255)


def test_a_broken_reference_is_named() -> None:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64)).save(buffer, "PNG")
    for broken in (b"", b"not a picture", buffer.getvalue()[:60]):
        with pytest.raises(ReferenceUnavailable, match="cannot be read"):
            load_image(broken)


async def test_an_exception_that_nobody_expected_is_not_the_policys_and_ends_no_run(task, reference, caplog) -> None:
    class Broken:
        async def judge(self, *_: object) -> Report:
            raise IndexError("index 1 is out of bounds for axis 0 with size 1")

        async def close(self) -> None:
            pass

    async with RewardPipeline(task, JudgeSettings(kind="local"), pages=1, judge=Broken()) as pipeline:
        result = await pipeline.score(WRONG, reference)
    assert (result.reward, result.scored_ok) == (1.5, False)
    assert result.reason == "StageFailed: judge: IndexError: index 1 is out of bounds for axis 0 with size 1"
    assert "Traceback" in caplog.text


async def test_a_renderer_that_failed_has_rendered_nothing(task, reference, monkeypatch) -> None:
    async def fails(*_: object) -> Image.Image:
        raise RendererUnavailable("the browser does not start")

    async with RewardPipeline(task, JudgeSettings(kind="local"), pages=1) as pipeline:
        monkeypatch.setattr(pipeline._stage._renderer, "render", fails)
        result = await pipeline.score(WRONG, reference)
    assert (result.render_ok, result.scored_ok) == (False, False)
    assert result.reason == "RendererUnavailable: the browser does not start"


def oddities() -> list[Exception]:
    """What OpenCV, Pillow and NumPy raise on strange images."""
    return [
        cv2.error("(-215:Assertion failed) !_src.empty() in function 'cvtColor'"),
        Image.DecompressionBombError("Image size exceeds limit"),
        ValueError("zero-size array to reduction operation maximum which has no identity"),
    ]


@pytest.mark.parametrize("error", oddities(), ids=lambda error: type(error).__module__)
@pytest.mark.parametrize("stage", ["extract", "render", "judge", "guard"])
async def test_what_a_stage_raises_unexpectedly_costs_the_policy_nothing_and_names_the_stage(
    task: Task, reference: Image.Image, monkeypatch: pytest.MonkeyPatch, stage: str, error: Exception
) -> None:
    def raises(*_: object, **__: object) -> None:
        raise error

    async with RewardPipeline(task, JudgeSettings(kind="local"), pages=1) as pipeline:
        places = {
            "extract": (pipeline._stage, "_extract"),
            "render": (pipeline._stage._renderer, "render"),
            "judge": (pipeline._judge, "judge"),
            "guard": (pipeline._guards, "check_image"),
        }
        monkeypatch.setattr(*places[stage], raises)
        result = await pipeline.score(WRONG, reference)
    numbers = result.numbers(task.report.categories)
    assert result.reason == f"StageFailed: {stage}: {type(error).__name__}: {error}"
    assert (result.scored_ok, result.severity, result.outcome) == (False, 25, Outcome.STAGE_FAILED)
    assert numbers["outcome_stage_failed"] == 1
    assert numbers["render_ok"] == (stage in ("judge", "guard"))


async def test_a_renderer_that_failed_is_recorded_as_no_render(
    task: Task, reference: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def unavailable(*_: object) -> None:
        raise RendererUnavailable("the browser is gone")

    async with RewardPipeline(task, JudgeSettings(kind="local"), pages=1) as pipeline:
        monkeypatch.setattr(pipeline._stage._renderer, "render", unavailable)
        result = await pipeline.score(WRONG, reference)
    assert (result.render_ok, result.scored_ok, result.outcome) == (False, False, Outcome.RENDERER_UNAVAILABLE)
