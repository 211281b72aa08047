"""Inputs that failed once, each with what is right. They are not in the repository: without them this file is skipped."""

from __future__ import annotations

import io
from collections.abc import AsyncIterator
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from packaging.version import Version
from PIL import Image

from visual_erm.errors import RenderFailed
from visual_erm.extract import Code, extract
from visual_erm.guard.runner import GuardRunner, GuardVerdict
from visual_erm.pipeline import RewardPipeline, RewardResult
from visual_erm.render.base import Renderer, make_renderer
from visual_erm.reward.report import Report, parse_report
from visual_erm.spec.base import read_yaml, shipped
from visual_erm.spec.judge import JudgeSettings
from visual_erm.spec.servers import api_key
from visual_erm.spec.task import load_task
from visual_erm.spec.text import read_text
from visual_erm.vision.images import load_image

CASES = Path(__file__).parents[2] / "shared" / "cases"
FIELD, CORPORA, GUARD = CASES / "field", CASES / "corpora", CASES / "guard"
FIELD, CORPORA, REWARD = CASES / "field", CASES / "corpora", CASES / "reward"
LANGUAGES = {".py": "python", ".html": "html", ".md": "markdown", ".svg": "svg"}

pytestmark = [
    pytest.mark.long,
    pytest.mark.skipif(not CASES.is_dir(), reason=f"needs the inputs in {CASES}"),
]


class Bench:
    """Renders files and scores replies with the shipped tasks and the local judge."""

    def __init__(self) -> None:
        svg = read_yaml(shipped("configs") / "task" / "svg.yaml")
        self.tasks = {name: load_task(name) for name in ("table", "chart", "svg")}
        self.tasks["cairosvg"] = load_task({**svg, "render": {**svg["render"], "backend": "cairosvg"}})
        self.renderers: dict[str, Renderer] = {name: make_renderer(task.render) for name, task in self.tasks.items()}
        judge = JudgeSettings(kind="local")
        self.pipelines = {name: RewardPipeline(task, judge) for name, task in self.tasks.items()}

    async def draw(self, file: Path, task: str = "") -> Image.Image:
        language = LANGUAGES[file.suffix]
        task = task or {"python": "chart", "svg": "svg"}.get(language, "table")
        return await self.renderers[task].render(Code(language, read_text(file)))

    async def score(self, task: str, reply: Path, reference: Image.Image | bytes) -> RewardResult:
        return await self.pipelines[task].score(read_text(reply), reference)

    async def close(self) -> None:
        for owner in (*self.renderers.values(), *self.pipelines.values()):
            await owner.close()


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    made = Bench()
    yield made
    await made.close()


@pytest.mark.parametrize(
    ("task", "reply", "reference"),
    [
        ("chart", "info_title.txt", "plain_chart.py"),
        ("chart", "info_brace.txt", "plain_chart.py"),
        ("chart", "answer_python.txt", "plain_chart.py"),
        ("chart", "think_literal.txt", "think_literal.py"),
        ("table", "info_table.txt", "plain_table.html"),
        ("table", "label_html5.txt", "plain_table.html"),
        ("table", "draft_final.txt", "plain_table.html"),
        ("table", "nested_fence.txt", "plain_table.html"),
        ("table", "label_text.txt", "plain_table.md"),
        ("table", "md_in_list.txt", "plain_table.md"),
        ("table", "bom_reply.txt", "plain_table.md"),
        ("table", "json_fence.txt", "plain_table.html"),
        ("table", "json_table.txt", "json_true.html"),
        ("table", "link_home.txt", "link.html"),
    ],
)
async def test_the_right_reply_earns_the_maximum(bench: Bench, task: str, reply: str, reference: str) -> None:
    result = await bench.score(task, FIELD / reply, await bench.draw(FIELD / reference))
    assert result.reward == 2 and not result.flags, result.reason


@pytest.mark.parametrize("reply", ["label_svgxml.txt", "json_svg.txt"])
async def test_the_right_drawing_earns_the_maximum(bench: Bench, reply: str) -> None:
    reference = (await bench.score("svg", FIELD / reply, Image.new("RGB", (336, 336), "white"))).image
    assert reference is not None
    assert (await bench.score("svg", FIELD / reply, reference)).reward == 2


@pytest.mark.parametrize("picture", ["grey16.png", "turned.jpg"])
async def test_references_of_other_depth_and_orientation_are_read_as_they_are_seen(bench: Bench, picture: str) -> None:
    example = Path(__file__).parents[1] / "examples" / "table" / "reply.txt"
    for reference in (FIELD / picture, (FIELD / picture).read_bytes()):
        result = await bench.pipelines["table"].score(read_text(example), reference)
        assert result.reward == 2, result.reason


@pytest.mark.parametrize("task", ["chart", "svg", "cairosvg"])
async def test_other_words_in_chinese_are_other_pictures(bench: Bench, task: str) -> None:
    suffix = ".py" if task == "chart" else ".svg"
    true, wrong = [await bench.draw(FIELD / f"cjk_{name}{suffix}", task) for name in ("true", "wrong")]
    assert true.tobytes() != wrong.tobytes()
    assert not true.info["missing_glyphs"]
    if task == "chart":
        assert (await bench.draw(FIELD / "cjk_simhei.py")).tobytes() == true.tobytes()


@pytest.mark.parametrize("task", ["svg", "cairosvg"])
async def test_the_encoding_that_a_text_declares_does_not_matter(bench: Bench, task: str) -> None:
    plain = await bench.draw(FIELD / "declared_utf-8.svg", task)
    for name in ("iso-8859-1", "utf-16", "windows-1252"):
        text = (FIELD / f"declared_{name}.svg").read_text(encoding="utf-8")
        assert (await bench.renderers[task].render(Code("svg", text))).tobytes() == plain.tobytes(), name
    for name in ("enc_latin1.svg", "enc_shiftjis.svg", "bytes_utf16.svg", "entity_ns.svg"):
        assert await bench.draw(CORPORA / name, task), name


@pytest.mark.parametrize("task", ["svg", "cairosvg"])
async def test_a_picture_of_one_color_is_blank_only_where_the_reference_has_more(bench: Bench, task: str) -> None:
    reply = CORPORA / "single_colour.svg"
    reference = await bench.draw(reply, task)
    assert (await bench.score(task, reply, reference)).reward == 2
    blank = await bench.score(task, reply, await bench.draw(FIELD / "declared_utf-8.svg", task))
    assert (blank.reward, blank.flags) == (0, {"blank"})


@pytest.mark.parametrize("name", ["bom.py", "bom.md"])
async def test_a_byte_order_mark_is_no_code(bench: Bench, name: str) -> None:
    text = (FIELD / name).read_text(encoding="utf-8")
    assert text.startswith("\ufeff")
    task = "chart" if name.endswith(".py") else "table"
    drawn = await bench.renderers[task].render(Code(LANGUAGES[Path(name).suffix], text))
    assert drawn.tobytes() == (await bench.draw(FIELD / name)).tobytes()


def test_a_byte_order_mark_is_no_key() -> None:
    settings = JudgeSettings(kind="remote", endpoints=("http://127.0.0.1:1/v1",), api_key_file=str(FIELD / "bom_key.txt"))
    assert api_key(settings) == "sk-made-up-key-42"


@pytest.mark.parametrize(
    "script",
    ["tmp_log.py", "made_folder.py", "file_copy.py", "svg_text.py", "aio.py", "../corpora/savefig_svg_read_back.py"],
)
async def test_what_plain_python_draws_is_drawn(bench: Bench, script: str) -> None:
    assert await bench.draw(FIELD / script)


@pytest.mark.parametrize(
    ("script", "runs", "reason"),
    [
        (
            "boxplot_labels.py",
            Version(version("matplotlib")) < Version("3.11"),
            rf"'labels'; installed: matplotlib {version('matplotlib')}$",
        ),
        ("squarify.py", bool(find_spec("squarify")), r"'squarify'; pip install 'visual-erm\[charts\]'$"),
        ("warnings_usetex.py", False, "needs the program `latex`, and scripts cannot start programs$"),
    ],
)
async def test_what_other_versions_and_programs_draw_is_drawn_or_the_reason_names_them(
    bench: Bench, script: str, runs: bool, reason: str
) -> None:
    if runs:
        assert await bench.draw(CORPORA / script)
    else:
        with pytest.raises(RenderFailed, match=reason):
            await bench.draw(CORPORA / script)


async def test_color_maps_of_libraries_are_there_when_they_are_imported(bench: Bench) -> None:
    drawn = await bench.draw(CORPORA / "colormaps_leak.py")
    text = read_text(CORPORA / "colormaps_leak.py")
    imported = await bench.renderers["chart"].render(Code("python", f"import seaborn\n{text}"))
    assert np.asarray(drawn).tobytes() != np.asarray(imported).tobytes()


def test_a_judge_that_writes_keys_in_capitals_is_read() -> None:
    (found,) = parse_report((FIELD / "judge_caps.json").read_text(), load_task("table").report).discrepancies
    assert (found.category, found.severity, found.description) == ("numeric_error", 3, "79.5 reads 19.5")


@pytest.mark.parametrize("name", ["natural_3d.py", "plate_sliver.svg"])
async def test_odd_pictures_are_judged(bench: Bench, name: str) -> None:
    drawn = await bench.draw(CORPORA / name)
    task = "chart" if name.endswith(".py") else "svg"
    other = Image.effect_noise(drawn.size, 80).convert("RGB")
    report = await bench.pipelines[task]._judge.judge(other, drawn, bench.tasks[task])
    assert report.severity > 0


async def test_lines_without_a_neighbor_are_read_without_a_warning(bench: Bench, recwarn: pytest.WarningsRecorder) -> None:
    content = (CORPORA / "ruling_nan_LINES_72_lanczos.png").read_bytes()
    with Image.open(io.BytesIO(content)) as image:
        await bench.pipelines["table"]._judge.judge(image.convert("RGB"), image.convert("RGB"), bench.tasks["table"])
    assert not [warning for warning in recwarn if issubclass(warning.category, RuntimeWarning)]


@pytest.mark.parametrize("reply", ["table_order_yellow.txt", "table_order_equal_grey.txt"])
async def test_text_that_talks_to_the_judge_in_colors_is_flagged(bench: Bench, reply: str) -> None:
    code = extract(read_text(GUARD / reply), bench.tasks["table"].kind.languages)
    verdict = await verdict_on(
        "table", load_image(GUARD / "table_reference.png"), await bench.renderers["table"].render(code)
    )
    assert verdict.invalid and "injection" in verdict.flags


async def test_a_hair_line_that_is_thinner_is_no_hack(bench: Bench) -> None:
    name = "svg_hair_line_false_alarm"
    images = [await bench.draw(GUARD / f"{name}.{part}.svg") for part in ("reference", "reply")]
    verdict = await verdict_on("svg", *images)
    assert verdict.severity <= 1 and not verdict.flags


async def test_a_far_faint_dot_does_not_make_a_table_illegible(bench: Bench) -> None:
    result = await bench.score("table", GUARD / "table_far_faint_dot.txt", load_image(GUARD / "table_reference.png"))
    assert result.image is not None and max(result.image.size) <= bench.tasks["table"].judge.image.longest_side
    assert not result.flags


async def verdict_on(task: str, reference: Image.Image, prediction: Image.Image) -> GuardVerdict:
    guards = GuardRunner(load_task(task), model_judge=True)
    try:
        await guards.check_image(reference, prediction)
        return await guards.check_report(reference, prediction, Report())
    finally:
        await guards.close()


async def reward_of(bench: Bench, file: Path, reference: Path) -> float:
    """What a file earns against a picture; scripts and drawings are fenced, replies are as they are."""
    task, language = ("svg", "svg") if file.suffix == ".svg" else ("chart", "python")
    reply = read_text(file) if file.suffix == ".txt" else f"```{language}\n{read_text(file)}\n```"
    with Image.open(reference) as image:
        return (await bench.pipelines[task].score(reply, image.convert("RGB"))).reward


async def test_leaving_a_shape_with_nearly_level_edges_out_costs_more_than_drawing_it_wrong(bench: Bench) -> None:
    async def reward(name: str, reference: str) -> float:
        return await reward_of(bench, REWARD / "vanish" / name, REWARD / "vanish" / reference)

    drawn = ("exact", "steeper", "flat_version", "only_blue_wrong_height", "upper_left_out")
    areas = [await reward(f"area_{name}.py", "area_ref.png") for name in drawn]
    assert areas[0] == 2 and min(areas) > await reward("area_empty.txt", "area_ref.png")
    for shape in ("rot1", "rot2"):
        versions = ("exact", "rect_at_0_deg", "rect_at_5_deg", "rect_green_at_0_deg", "rect_smaller_at_0")
        shapes = [await reward(f"{shape}_{name}.svg", f"ref_{shape}.png") for name in versions]
        assert shapes[0] == 2 and min(shapes) > await reward(f"{shape}_rect_left_out.svg", f"ref_{shape}.png")


async def test_more_noise_on_a_line_never_earns_more(bench: Bench) -> None:
    folder = REWARD / "figsize"
    noises = ("0", "0.2", "0.5", "1", "2", "4")
    rewards = [await reward_of(bench, folder / f"lines_noise_{noise}.txt", folder / "ref_lines.png") for noise in noises]
    assert rewards[0] == 2 > rewards[-1] and rewards == sorted(rewards, reverse=True)


async def test_the_same_chart_in_another_size_earns_about_the_maximum(bench: Bench) -> None:
    folder = REWARD / "figsize"
    rewards = [
        await reward_of(bench, folder / name, folder / "ref_6x4.png") for name in ("same_shape_9x6.txt", "portrait_4x6.txt")
    ]
    assert rewards[0] >= rewards[1] and min(rewards) >= 1.95


@pytest.mark.parametrize(
    "name",
    [
        "chart_bar_figsize_3_4",
        "chart_line_noise_1_2",
        "lines_line0_1_series",
        "lines_line3_4_series",
        "lines_lineup1_2_series",
        "lines_lineup4_2_series",
        "shapes_rot1",
    ],
)
async def test_the_better_of_two_earns_at_least_as_much(bench: Bench, name: str) -> None:
    (better,), (worse,) = ([*(REWARD / "rank").glob(f"{name}_{side}*")] for side in ("better", "worse"))
    reference = REWARD / "rank" / f"{name}_ref.png"
    assert await reward_of(bench, better, reference) >= await reward_of(bench, worse, reference)
