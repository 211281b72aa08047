"""The local judge on images that the real renderer drew."""

from __future__ import annotations

import asyncio
import random
import threading

import psutil
import pytest
from markup import table
from PIL import Image

from visual_erm.errors import ConfigError, JudgeUnavailable
from visual_erm.judge.base import make_judge
from visual_erm.reward.report import Report
from visual_erm.spec.judge import JudgeSettings
from visual_erm.spec.task import load_task
from visual_erm.vision import readings

TASK = load_task("table")
SQUARE = [["item", "mean", "share"], ["alpha", "12.5", "40%"], ["beta", "-3.07", "60%"]]


@pytest.fixture
async def judge():
    made = make_judge(JudgeSettings(kind="local", ocr_workers=2))
    yield made
    await made.close()


def changed(row: int, column: int, text: str) -> list[list[str]]:
    rows = [list(row) for row in SQUARE]
    rows[row - 1][column - 1] = text
    return rows


def outcome(report: Report) -> list[tuple[str, int]]:
    return [(d.category, d.severity) for d in report.discrepancies]


async def test_the_same_table_has_no_discrepancy(judge, draw):
    reference = draw(table(SQUARE))
    assert await judge.judge(reference, reference.copy(), TASK) == Report()


async def test_other_markup_for_the_same_table_has_none_either(judge, draw):
    other = table(SQUARE).replace("<td", "<th").replace("</td", "</th").replace("alpha", "<b>alpha</b> ")
    assert await judge.judge(draw(table(SQUARE)), draw(other), TASK) == Report()


async def test_a_wrong_number_is_named(judge, draw):
    report = await judge.judge(draw(table(SQUARE)), draw(table(changed(2, 2, "12.6"))), TASK)
    assert outcome(report) == [("numeric_error", 2)]
    assert report.discrepancies[0].description == 'row 2, column 2: reference "12.5", prediction "12.6"'


async def test_a_wrong_digit_is_never_missed(judge, draw):
    """Each digit against each other one, in the middle of a number; a letter keeps each cell in its place."""
    letters = "ABDEFGHJKL"
    reference = draw(table([[f"{letter} 4{digit}.2"] for digit, letter in enumerate(letters)]))
    for shift in range(1, 10):
        answer = draw(table([[f"{letter} 4{(digit + shift) % 10}.2"] for digit, letter in enumerate(letters)]))
        report = await judge.judge(reference, answer, TASK)
        assert [d.location for d in report.discrepancies] == [f"row {row}, column 1" for row in range(1, 11)]
        assert {d.category for d in report.discrepancies} == {"numeric_error"}


async def test_a_wrong_text_is_a_text_error(judge, draw):
    report = await judge.judge(draw(table(SQUARE)), draw(table(changed(1, 1, "total"))), TASK)
    assert outcome(report) == [("text_error", 3)]


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        pytest.param(SQUARE[:2], "is missing", id="missing row"),
        pytest.param([row[:2] for row in SQUARE], "is missing", id="missing column"),
        pytest.param([SQUARE[0], SQUARE[2], SQUARE[1]], "has moved to", id="moved row"),
        pytest.param([[a, c, b] for a, b, c in SQUARE], "has moved to", id="swapped columns"),
    ],
)
async def test_rows_and_columns_out_of_place_cost_three_cells(judge, draw, rows, words):
    report = await judge.judge(draw(table(SQUARE)), draw(table(rows)), TASK)
    assert outcome(report) == [("layout_error", 3)] * 3
    assert all(words in d.description for d in report.discrepancies)


async def test_an_extra_row_costs_its_cells(judge, draw):
    report = await judge.judge(draw(table(SQUARE)), draw(table([*SQUARE, ["gamma", "7", "8"]])), TASK)
    assert outcome(report) == [("layout_error", 3)] * 3
    assert all("is not in the reference" in d.description for d in report.discrepancies)


async def test_a_lost_merged_cell_is_a_layout_error(judge, draw):
    merged = "<table><tr><td colspan=2>score</td></tr><tr><td>low</td><td>high</td></tr></table>"
    report = await judge.judge(draw(merged), draw(merged.replace("colspan=2>score</td>", ">score</td><td></td>")), TASK)
    assert {d.category for d in report.discrepancies} == {"layout_error"}
    assert "spans 1 row(s) and 2 column(s) in the reference" in report.discrepancies[0].description


@pytest.mark.parametrize("style", ["display: none", "color: white", "font-size: 0", "visibility: hidden"])
async def test_text_hidden_in_the_markup_earns_nothing(judge, draw, style):
    reference = draw(table(SQUARE))
    hidden = await judge.judge(reference, draw(table(changed(2, 2, f'<i style="{style}">12.5</i>'))), TASK)
    absent = await judge.judge(reference, draw(table(changed(2, 2, ""))), TASK)
    assert hidden.severity == absent.severity == 3


async def test_a_table_without_its_ruling_costs_something_in_every_cell(judge, draw):
    report = await judge.judge(draw(table(SQUARE)), draw(table(SQUARE, ' style="border: none"')), TASK)
    assert report.severity >= 9


async def test_a_blank_prediction_loses_everything(judge, draw):
    report = await judge.judge(draw(table(SQUARE)), Image.new("RGB", (300, 200), "white"), TASK)
    assert outcome(report) == [("layout_error", 3)] * 9


async def test_any_image_can_be_judged(judge, draw):
    for size in ((1, 1), (2000, 3), (40, 40)):
        for mode in ("L", "RGBA", "P", "1"):
            await judge.judge(draw(table(SQUARE)), Image.new(mode, size), TASK)


@pytest.mark.parametrize("seed", range(3))
async def test_leaving_out_a_row_column_or_cell_never_pays(judge, draw, seed):
    """As drawn: what is left out changes the widths of columns and the pixels of what stays."""
    chance = random.Random(seed)
    truth = [[f"{chance.uniform(0, 100):.1f}" for _ in range(3)] for _ in range(3)]
    answer = [[cell if chance.random() < 0.5 else f"{chance.uniform(0, 100):.1f}" for cell in row] for row in truth]
    fewer = [answer[:i] + answer[i + 1 :] for i in range(3)]
    fewer += [[row[:j] + row[j + 1 :] for row in answer] for j in range(3)]
    fewer += [[r[:j] + r[j + 1 :] if r is row else r for r in answer] for row in answer for j in range(3)]
    reference = draw(table(truth))
    whole = (await judge.judge(reference, draw(table(answer)), TASK)).severity
    assert whole > 0
    for less in fewer:
        assert (await judge.judge(reference, draw(table(less)), TASK)).severity >= whole


async def test_a_group_shares_the_reading_of_its_reference(judge, draw, monkeypatch):
    seen = []
    read = readings.read

    def counting(image, *how):
        seen.append(image.shape)
        return read(image, *how)

    monkeypatch.setattr(readings, "read", counting)
    reference = draw(table(SQUARE))
    answers = [draw(table(changed(2, 2, str(number)))) for number in (1, 1, 2, 2)]
    reports = await asyncio.gather(*(judge.judge(reference, answer, TASK) for answer in answers))
    assert len(seen) == 3
    assert reports[0] == reports[1] != reports[2]


async def test_the_event_loop_goes_on_while_images_are_read(judge, draw):
    chance = random.Random(0)
    tables = [[[f"{chance.uniform(0, 100):.3f}" for _ in range(8)] for _ in range(12)] for _ in range(2)]
    images = [draw(table(rows)) for rows in tables]
    judging = asyncio.create_task(judge.judge(*images, TASK))
    beats = 0
    while not judging.done():
        await asyncio.sleep(0.005)
        beats += 1
    assert beats > 20


async def test_two_hundred_judgements_leave_no_thread_and_little_memory(draw):
    before = set(threading.enumerate())
    judge = make_judge(JudgeSettings(kind="local", cache_size=20))
    reference = draw(table(SQUARE))
    small = reference.resize((reference.width // 2, reference.height // 2)).resize(reference.size)
    images = []
    for number in range(200):
        image = (reference if number % 2 else small).copy()
        image.putpixel((0, 0), (255, 255, number))
        images.append(image)
    for image in images[:50]:
        await judge.judge(reference, image, TASK)
    memory = psutil.Process().memory_info().rss
    await asyncio.gather(*(judge.judge(reference, image, TASK) for image in images))
    assert psutil.Process().memory_info().rss - memory < 100 * 2**20
    await judge.close()
    await judge.close()
    left = [thread.name for thread in set(threading.enumerate()) - before]
    assert not [name for name in left if name.startswith("local-judge")]


async def test_a_closed_judge_says_so(draw):
    judge = make_judge(JudgeSettings(kind="local"))
    await judge.close()
    with pytest.raises(JudgeUnavailable):
        await judge.judge(draw(table(SQUARE)), draw(table(SQUARE)), TASK)


async def test_closing_waits_for_what_is_under_way(draw):
    judge = make_judge(JudgeSettings(kind="local"))
    images = [draw(table(SQUARE)), draw(table(changed(2, 2, "7")))]
    judging = [asyncio.create_task(judge.judge(*images, TASK)) for _ in range(3)]
    await asyncio.sleep(0)
    await judge.close()
    results = await asyncio.gather(*judging, return_exceptions=True)
    assert all(isinstance(result, Report | JudgeUnavailable) for result in results)


async def test_a_task_of_other_categories_is_refused(judge, draw):
    charts = TASK.model_copy(update={"report": TASK.report.model_copy(update={"categories": ["data_error"]})})
    with pytest.raises(ConfigError, match="knows the categories of table"):
        await judge.judge(draw(table(SQUARE)), draw(table(SQUARE)), charts)
