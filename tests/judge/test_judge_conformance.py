"""Every judge of this package keeps the promises of the protocol `Judge`."""

import json

import pytest
from openai_server import OpenAIServer, completion, images
from PIL import Image, ImageDraw

from visual_erm.judge.base import Judge, make_judge
from visual_erm.judge.remote import RemoteJudge
from visual_erm.spec.judge import JudgeSettings
from visual_erm.spec.task import load_task
from visual_erm.testing.judge_conformance import check_judge

SVG = load_task("svg")
COUNTS = {f"{category}_count": 0 for category in SVG.report.categories}


def square(color: str) -> Image.Image:
    image = Image.new("RGB", (120, 80), "white")
    ImageDraw.Draw(image).rectangle((30, 20, 69, 59), fill=color)
    return image


async def model(server, body):
    """Stands in for a model: it sees whether two images differ."""
    first, second = images(body)
    category = SVG.report.categories[0]
    error = {key: "the square" for key in SVG.report.keys} | {SVG.report.category_key: category, "severity": 2}
    errors = [error] if first.tobytes() != second.tobytes() else []
    reply = {**COUNTS, f"{category}_count": len(errors), "errors": errors}
    return await completion(json.dumps(reply))(server, body)


async def test_the_local_judge_keeps_its_promises():
    await check_judge(make_judge(JudgeSettings(kind="local")), square("red"), square("blue"), SVG)


@pytest.mark.parametrize("make", [make_judge, RemoteJudge], ids=["with reuse", "each pair asked"])
async def test_the_remote_judge_keeps_its_promises(make, tmp_path):
    async with OpenAIServer(model) as server:
        settings = JudgeSettings(kind="remote", endpoints=(server.url,), reuse={"cache_dir": str(tmp_path)})
        judge: Judge = make(settings)
        await check_judge(judge, square("red"), square("blue"), SVG)


@pytest.mark.parametrize("make", [make_judge, RemoteJudge], ids=["with reuse", "each pair asked"])
async def test_a_remote_judge_that_was_never_used_can_be_closed_and_starts_nothing_after_it(make):
    async with OpenAIServer(model) as server:
        judge: Judge = make(JudgeSettings(kind="remote", endpoints=(server.url,)))
        await judge.close()
        with pytest.raises(Exception, match="the judge was closed") as caught:
            await judge.judge(square("red"), square("blue"), SVG)
        assert type(caught.value).__name__ == "JudgeUnavailable"
    assert not server.bodies
