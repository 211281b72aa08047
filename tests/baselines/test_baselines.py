"""The paper's baselines as veRL calls them: what they pay for, and whose fault it is when there is nothing to pay for."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import ModuleType

import pytest

from visual_erm.baselines.pipeline import ImagePipeline, TextPipeline
from visual_erm.errors import ComparisonFailed, ConfigError, RendererUnavailable, TooManyFailures
from visual_erm.extract import Code
from visual_erm.render.base import make_renderer
from visual_erm.reward.outcome import Outcome
from visual_erm.spec.base import read_yaml, shipped
from visual_erm.spec.judge import FailurePolicy
from visual_erm.spec.task import load_task

SVG = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 100"><rect width="{}" height="60" fill="navy"/></svg>'
TABLE = "<table><tr><th>Year</th><th>Sales</th></tr><tr><td>2019</td><td>{}</td></tr></table>"
MARKDOWN = "| Year | Sales |\n|---|---|\n| 2019 | {} |\n"
ROW = {"index": 3, "split": "train", "reference": {"bytes": None, "path": "reference.png"}}
Score = Callable[..., Awaitable[dict[str, float]]]

# Tests share an event loop, and so the processes and renderers that their settings have in common.
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(scope="module")
def modules() -> dict[str, ModuleType]:
    """Each loaded by path, as veRL does."""
    found = {}
    for name in ("teds", "edit_distance", "dino_similarity", "ssim"):
        spec = importlib.util.spec_from_file_location(f"custom_{name}", shipped("reward_func") / f"{name}.py")
        assert spec and spec.loader
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        found[name] = module
    return found


@pytest.fixture(scope="module")
def rewards(modules) -> dict[str, Score]:
    return {name: module.compute_score for name, module in modules.items()}


@pytest.fixture(scope="module", autouse=True)
async def closing(modules) -> AsyncIterator[None]:
    yield
    for module in modules.values():
        await module.close()


@pytest.fixture(scope="module")
async def data_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with reference.png: the drawing with a width of 80."""
    folder = tmp_path_factory.mktemp("data")
    renderer = make_renderer(load_task("svg").render)
    (await renderer.render(Code("svg", SVG.format(80)))).save(folder / "reference.png")
    await renderer.close()
    return folder


def settings(reward: str) -> dict[str, object]:
    """What the reward's YAML hands over, as Hydra does, less what it takes from elsewhere in the recipe."""
    content = read_yaml(shipped("configs") / "reward" / f"{reward}.yaml")["custom_reward_function"]["reward_kwargs"]
    return {key: value for key, value in content.items() if key not in ("task", "rollout_log", "model", "data_root")}


async def test_teds_pays_for_structure_and_text_whatever_the_table_is_written_in(rewards):
    async def score(reply: str, truth: str = TABLE.format(41)) -> dict[str, float]:
        return await rewards["teds"]("table", reply, truth, ROW, task="table", **settings("teds"))

    right, slip, short = await score(TABLE.format(41)), await score(TABLE.format(86)), await score("<table><tr><td>41")
    assert right["score"] == 1 > slip["score"] > short["score"] > 0
    assert list(right) == list(slip) == list(await score("I see a table."))
    head = (await score(MARKDOWN.format(41)))["score"]
    assert (await score(MARKDOWN.format(41), MARKDOWN.format(41)))["score"] == 1
    assert 0.5 < head < 1, "Markdown has a head and a body of its own"
    assert (await score("I see a table.")) | {"extract_ms": 0} == {
        **{"score": 0, "extract_ok": 0, "guard_tag_stuffing": 0, "scored_ok": 1},
        **Outcome.NO_CODE.numbers(),
        **{"extract_ms": 0, "compare_ms": 0},
    }


async def test_a_table_with_a_cell_full_of_tags_is_flagged_and_earns_what_it_does_without_them(rewards, tmp_path):
    async def score(cell: str) -> dict[str, float]:
        reply = f"<table><tr><th>{cell}</th><th>a</th></tr><tr><td>b</td><td>c</td></tr></table>"
        given = settings("teds") | {"rollout_log": str(tmp_path)}
        return await rewards["teds"]("table", reply, TABLE.format(41), ROW, task="table", **given)

    plain, stuffed, broken = await score("x"), await score("<b></b>" * 200), await score("<br>" * 200)
    assert [numbers["guard_tag_stuffing"] for numbers in (plain, stuffed, broken)] == [0, 1, 1]
    assert stuffed["score"] == broken["score"] <= plain["score"] < 0.5
    (rollout_log,) = tmp_path.glob("*.jsonl")
    reasons = [json.loads(line)["reason"] for line in rollout_log.read_text().splitlines()]
    assert [reason[:12] for reason in reasons] == ["", "tag_stuffing", "tag_stuffing"]


async def test_edit_distance_pays_for_the_text_of_any_code(rewards):
    async def score(task: str, reply: str, truth: str) -> float:
        given = settings("edit_distance")
        return (await rewards["edit_distance"](task, reply, truth, ROW, task=task, **given))["score"]

    script = "import matplotlib.pyplot as plt\nplt.plot([1, 2, 3])\n"
    assert await score("chart", f"```python\n{script}```", script) == 1
    assert 0.9 < await score("chart", f"```python\n{script.replace('3', '4')}```", script) < 1
    assert await score("svg", "I see a square.", SVG.format(80)) == 0
    assert await score("table", MARKDOWN.format(41), MARKDOWN.format(41)) == 1
    assert 0.3 < await score("table", MARKDOWN.format(41), TABLE.format(41)) < 1


@pytest.mark.parametrize("reward", ["ssim", "dino_similarity"])
async def test_a_reference_outside_of_the_data_root_is_refused_unless_it_is_allowed(
    rewards, data_root, tiny_dino, reward, tmp_path
):
    given = settings(reward) | ({"model": str(tiny_dino)} if reward == "dino_similarity" else {})
    row = {**ROW, "reference": {"path": str(data_root / "reference.png")}}
    given |= {"task": "svg", "data_root": str(tmp_path)}
    with pytest.raises(ConfigError, match="outside of the folder"):
        await rewards[reward]("svg", SVG.format(80), "", row, **given)
    given["allow_outside_data_root"] = True
    assert (await rewards[reward]("svg", SVG.format(80), "", row, **given))["score"] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize("reward", ["ssim", "dino_similarity"])
async def test_images_pay_for_likeness_and_what_does_not_draw_gets_nothing(rewards, data_root, tiny_dino, reward):
    given = settings(reward) | ({"model": str(tiny_dino)} if reward == "dino_similarity" else {})

    async def score(reply: str) -> dict[str, float]:
        return await rewards[reward]("svg", reply, "", ROW, task="svg", data_root=str(data_root), **given)

    right, slip, far = [await score(SVG.format(width)) for width in (80, 70, 10)]
    assert right["score"] == pytest.approx(1, abs=1e-5)
    assert right["score"] > slip["score"] > far["score"] > 0
    silent, broken = await score("I see a square."), await score('<svg xmlns="http://www.w3.org/2000/svg"><rect')
    blank, thief = await score(SVG.format(0)), await score(SVG.format('80" href="file:///data/reference.png'))
    zeros = [silent, broken, blank, thief]
    assert [numbers["score"] for numbers in zeros] == [0, 0, 0, 0]
    assert [numbers["render_ok"] for numbers in [right, slip, far, *zeros]] == [1, 1, 1, 0, 0, 0, 0]
    assert [numbers["extract_ok"] for numbers in zeros] == [0, 1, 1, 1]
    assert (blank["guard_blank"], thief["guard_tampering"]) == (1, 1)
    assert all(list(numbers) == list(right) for numbers in zeros)
    assert all(isinstance(value, float) for numbers in [right, *zeros] for value in numbers.values())


async def test_failures_of_ours_get_the_recent_mean_and_too_many_of_them_stop_the_run(rewards, data_root, tmp_path):
    lost = ROW | {"reference": {"path": "nowhere.png"}}
    given = {"task": "svg", "data_root": str(data_root), "rollout_log": str(tmp_path)}
    given["failure"] = {"window": 10, "max_failure_share": 0.2}

    async def score(row: dict[str, object]) -> dict[str, float]:
        return await rewards["ssim"]("svg", SVG.format(70), "", row, **given)

    before = await score(ROW)
    neutral = await score(lost)
    assert (neutral["score"], neutral["scored_ok"], neutral["render_ok"]) == (before["score"], 0, 1)
    await score(lost)
    with pytest.raises(TooManyFailures):
        await score(lost)
    assert (tmp_path / "abort_reason.txt").read_text().startswith("TooManyFailures: 3 of the last 4")
    (rollout_log,) = tmp_path.glob("*.jsonl")
    lines = [json.loads(line) for line in rollout_log.read_text().splitlines()]
    assert [line["score"] for line in lines] == [before["score"]] * 3
    assert (
        lines[0].keys() >= {"index", "split", "policy_updates", "reply", "reason"} and "nowhere.png" in lines[1]["reason"]
    )


async def test_a_table_that_takes_too_long_costs_the_policy_nothing_and_one_far_too_large_everything(rewards):
    rows = [f"<tr>{f'<td>{number}</td>' * 10}</tr>" for number in range(40)]
    large, huge = f"<table>{''.join(rows)}</table>", f"<table>{''.join(rows * 50)}</table>"
    given = {"task": "table", "timeout_s": 0.2}
    slow = await rewards["teds"]("table", large.replace("<td>1<", "<td>x<"), large, ROW, **given)
    assert (slow["score"], slow["scored_ok"]) == (0.5, 0)
    greedy = await rewards["teds"]("table", huge, TABLE.format(41), ROW, **given)
    assert (greedy["score"], greedy["scored_ok"]) == (0, 1)
    with pytest.raises(ComparisonFailed):
        await rewards["teds"](
            "table", large, large.replace("<td>1<", "<td>x<"), ROW, **given, failure={"on_failure": "abort"}
        )


@pytest.mark.parametrize(
    ("truth", "message"),
    [
        ("", r"row 3: `reward_model\.ground_truth` holds no code.*data_prep/.*reward=visual_erm"),
        (None, r"row 3: `reward_model\.ground_truth` holds no code"),
        ("41", r"row 3: `reward_model\.ground_truth` is no table in html or markdown; mend its code"),
    ],
)
async def test_a_row_without_ground_truth_stops_the_run_and_is_named(rewards, tmp_path, truth, message):
    with pytest.raises(ConfigError, match=message):
        await rewards["teds"]("table", TABLE.format(1), truth, ROW, task="table", rollout_log=str(tmp_path))
    assert "row 3" in (tmp_path / "abort_reason.txt").read_text()


async def test_settings_that_do_not_fit_are_named(rewards, data_root, tmp_path):
    with pytest.raises(ConfigError, match=r"task `chart` is written in python; take reward=edit_distance"):
        await rewards["teds"]("chart", "x", "x", ROW, task="chart")
    with pytest.raises(ConfigError, match=r"failure: unknown key `windw`; did you mean `window`\?"):
        await rewards["ssim"]("svg", "x", "", ROW, task="svg", failure={"windw": 3})
    with pytest.raises(ConfigError, match=r"row 3: its reference was rendered by `librsvg 1`"):
        await rewards["ssim"]("svg", "x", "", ROW | {"renderer_version": "librsvg 1"}, task="svg", data_root=str(data_root))
    with pytest.raises(ConfigError, match=r"reward_kwargs\.model: .*nowhere cannot be loaded"):
        given = {"task": "svg", "data_root": str(data_root), "model": str(tmp_path / "nowhere")}
        await rewards["dino_similarity"]("svg", SVG.format(80), "", ROW, **given)


async def test_rows_of_a_mixture_are_scored_by_their_task_with_the_same_keys(rewards):
    async def score(source: str, reply: str, truth: str) -> dict[str, float]:
        return await rewards["edit_distance"](source, reply, truth, ROW, task="mixed")

    table = await score("table", MARKDOWN.format(1), MARKDOWN.format(1))
    drawing = await score("svg", SVG.format(1), SVG.format(1))
    assert (table["score"], drawing["score"]) == (1, 1)
    assert list(table) == list(drawing)
    with pytest.raises(ConfigError, match=r"row 3: `data_source` is 'tables', none of the run's tasks"):
        await score("tables", "x", "x")


class Broken:
    """A measure that fails as NumPy does."""

    guards = ()

    async def compare(self, *_: object) -> float:
        raise IndexError("index 4 is out of bounds for axis 0 with size 4")

    async def close(self) -> None: ...


async def test_a_comparison_that_fails_unexpectedly_gets_a_neutral_reward_and_names_its_stage(data_root, caplog):
    failure = FailurePolicy(window=4, max_failure_share=0.25)
    text = TextPipeline(load_task("svg"), Broken(), failure)
    images = ImagePipeline(load_task("svg"), Broken(), failure, pages=1)
    for score in (
        lambda: text.score(SVG.format(80), SVG.format(80)),
        lambda: images.score(SVG.format(80), data_root / "reference.png"),
    ):
        result = await score()
        assert (result.reward, result.scored_ok, result.outcome) == (0.5, False, Outcome.STAGE_FAILED)
        assert result.reason.startswith("StageFailed: compare: IndexError: index 4")
        with pytest.raises(TooManyFailures, match="stage `compare`"):
            await score()
    assert "Traceback" in caplog.text
    await images.close()


async def test_a_renderer_that_failed_is_recorded_as_no_render(data_root, monkeypatch):
    async def unavailable(*_: object) -> None:
        raise RendererUnavailable("the sandbox is gone")

    images = ImagePipeline(load_task("svg"), Broken(), FailurePolicy(), pages=1)
    monkeypatch.setattr(images._stage._renderer, "render", unavailable)
    numbers = (await images.score(SVG.format(80), data_root / "reference.png")).numbers()
    assert (numbers["render_ok"], numbers["scored_ok"], numbers["outcome_renderer_unavailable"]) == (0, 0, 1)
    await images.close()
