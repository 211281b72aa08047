"""The remote judge against real HTTP servers: what it asks, and what it makes of the answers."""

import asyncio

import pytest
from openai_server import OpenAIServer, completion, images, page, status
from PIL import Image
from remote_judge import GOOD, GRAY, TABLE, WHITE, WIRE, judged, settings

from visual_erm.errors import JudgeUnavailable, JudgeUnreadable
from visual_erm.judge import encode, endpoint_pool
from visual_erm.judge.remote import RemoteJudge
from visual_erm.reward.report import Discrepancy, report_schema
from visual_erm.spec.task import load_task


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(endpoint_pool, "FIRST_COOLDOWN_S", 0.01)
    monkeypatch.setattr(endpoint_pool, "LONGEST_COOLDOWN_S", 0.1)


# What is asked


async def test_a_reply_becomes_a_report():
    async with OpenAIServer(GOOD) as server:
        report = await judged(settings(server.url))
    assert report.discrepancies == (Discrepancy("numeric_error", 3, "12.5 became 12.6"),)
    assert not report.truncated


async def test_the_request_is_the_published_one_reference_first():
    reference, prediction = Image.new("RGB", (1536, 500), "red"), Image.new("RGB", (300, 200), "blue")
    async with OpenAIServer(GOOD) as server:
        await judged(settings(server.url, model="erm-8b"), reference=reference, prediction=prediction)
    (body,) = server.bodies
    assert body["model"] == "erm-8b"
    system, user = body["messages"]
    assert system == {"role": "system", "content": TABLE.judge.system}
    assert [part["type"] for part in user["content"]] == ["image_url", "image_url", "text"]
    assert user["content"][2]["text"] == TABLE.judge.prompt
    first, second = images(body)
    assert (first.size, first.getpixel((9, 9)), first.format) == ((768, 250), (255, 0, 0), "PNG")
    assert (second.size, second.getpixel((9, 9)), second.format) == ((300, 200), (0, 0, 255), "PNG")
    assert {key: body[key] for key in ("temperature", "max_tokens", "repetition_penalty")} == {
        "temperature": 0,
        "max_tokens": 8192,
        "repetition_penalty": 1.05,
    }
    assert "top_p" not in body and "presence_penalty" not in body


async def test_sampling_image_format_and_system_message_are_the_tasks():
    plain = TABLE.model_dump()
    plain["judge"] |= {
        "system": None,
        "image": {"longest_side": 100, "format": "jpeg"},
        "sampling": {"temperature": 0.7, "max_tokens": 4096, "top_p": 0.8, "top_k": 20, "presence_penalty": 1.5},
    }
    async with OpenAIServer(GOOD) as server:
        await judged(settings(server.url), load_task(plain), reference=Image.new("RGB", (90, 400), "red"))
    (body,) = server.bodies
    assert [message["role"] for message in body["messages"]] == ["user"]
    assert [(image.size, image.format) for image in images(body)] == [((32, 100), "JPEG"), ((50, 32), "JPEG")]
    sampling = plain["judge"]["sampling"]
    assert {key: body[key] for key in sampling if key in body} == {k: v for k, v in sampling.items() if v is not None}
    assert "repetition_penalty" not in body


@pytest.mark.parametrize("name", ["table", "chart", "svg"])
async def test_the_published_lines_stand_before_the_prompt_where_the_task_says_so(name):
    plain = load_task(name).model_dump()
    plain["judge"]["placeholder_lines"] = True
    async with OpenAIServer(GOOD) as server:
        await judged(settings(server.url), load_task(name))
        await judged(settings(server.url), load_task(plain))
    without, with_lines = [body["messages"][-1]["content"][2]["text"] for body in server.bodies]
    assert without == load_task(name).judge.prompt
    assert with_lines == "<image>\n<image>\n" + without


async def test_thin_and_tiny_images_are_filled_up_with_white_to_what_a_vision_model_accepts():
    thin, tiny = Image.new("RGB", (20, 8000), "red"), Image.new("RGB", (1, 1), "blue")
    async with OpenAIServer(GOOD) as server:
        await judged(settings(server.url), reference=thin, prediction=tiny)
    first, second = images(server.bodies[0])
    assert (first.size, first.getpixel((0, 700)), first.getpixel((20, 700))) == ((32, 768), (255, 0, 0), (255, 255, 255))
    assert (second.size, second.getpixel((0, 0)), second.getpixel((1, 1))) == ((32, 32), (0, 0, 255), (255, 255, 255))


async def test_the_schema_is_sent_in_key_order_and_only_when_structured():
    async with OpenAIServer(GOOD) as server:
        await judged(settings(server.url))
        await judged(settings(server.url, structured=False))
    held_to_it, free = server.bodies
    schema = held_to_it["response_format"]["json_schema"]["schema"]
    assert schema == report_schema(TABLE.report)
    assert list(schema["properties"]) == ["layout_error_count", "text_error_count", "numeric_error_count", "errors"]
    assert list(schema["properties"]["errors"]["items"]["properties"]) == ["type", "description", "severity"]
    assert "response_format" not in free


@pytest.mark.parametrize("task", ["table", "chart", "svg"])
async def test_a_hosted_server_without_health_schema_and_fields_of_vllm_is_asked(task):
    protocol = {"model", "messages", "temperature", "max_tokens", "top_p", "presence_penalty"}

    async def hosted(server, body):
        refused = set(body) - protocol
        return await (status(400, f"unknown {sorted(refused)}") if refused else GOOD)(server, body)

    asked = load_task(task)
    async with OpenAIServer(hosted) as server:
        form = settings(server.url, structured=False, vllm_fields=False)
        assert (await judged(form, task=asked)).discrepancies
        with pytest.raises(JudgeUnavailable, match="vllm_fields: false"):
            await judged(settings(server.url, structured=False), task=asked)
        with pytest.raises(JudgeUnavailable, match="structured: false"):
            await judged(settings(server.url, vllm_fields=False), task=asked)


async def test_a_reference_is_encoded_once_for_its_group(monkeypatch):
    encoded = []
    data_url = encode.data_url
    monkeypatch.setattr(encode, "data_url", lambda image, form: encoded.append(image.size) or data_url(image, form))
    async with OpenAIServer(GOOD) as server:
        judge = RemoteJudge(settings(server.url))
        await asyncio.gather(*(judge.judge(WHITE.copy(), GRAY, TABLE) for _ in range(8)))
        await judge.close()
    assert sorted(encoded) == [WHITE.size] + [GRAY.size] * 8


# Answers


@pytest.mark.parametrize(
    "reply",
    [
        f"```json\n{WIRE}\n```",
        f"<think>Row by row …</think>Here it is:\n{WIRE}\nDone.",
        WIRE.replace('"type"', '"category"').replace('"severity": 3', '"severity": "3"'),
    ],
    ids=["fenced", "thought", "other keys"],
)
async def test_replies_are_read_in_any_usual_form(reply):
    async with OpenAIServer(completion(reply)) as server:
        report = await judged(settings(server.url))
    assert report.discrepancies == (Discrepancy("numeric_error", 3, "12.5 became 12.6"),)


async def test_a_reply_cut_off_in_the_middle_is_repaired_and_marked():
    two = WIRE.replace("]}", ', {"type": "layout_error", "description": "the last row is mis')
    async with OpenAIServer(completion(two, finish="length")) as server:
        report = await judged(settings(server.url))
    assert [d.category for d in report.discrepancies] == ["numeric_error", "layout_error"]
    assert report.truncated


async def test_a_reply_that_ran_into_the_token_limit_is_marked_even_where_it_parses():
    async with OpenAIServer(completion(WIRE, finish="length")) as server:
        assert (await judged(settings(server.url))).truncated


@pytest.mark.parametrize(
    "malformed",
    [
        completion("The two tables look rather alike."),
        completion('{"layout_error_count": 2'),
        completion(""),
        completion(None, finish="content_filter"),
    ],
    ids=["prose", "counts alone", "empty", "no text"],
)
async def test_a_malformed_reply_is_asked_again_once_and_then_unreadable(malformed):
    async with OpenAIServer(malformed, GOOD) as server:
        assert (await judged(settings(server.url, retries=0))).severity == 3
    first, second = server.bodies
    assert first["temperature"] == 0 and second["temperature"] > 0
    async with OpenAIServer(malformed) as server:
        with pytest.raises(JudgeUnreadable):
            await judged(settings(server.url, retries=0))
    assert len(server.bodies) == 2


@pytest.mark.parametrize(
    "malformed",
    [
        page("<html>welcome</html>"),
        page('{"choices": []}', "application/json"),
        page('{"choices": nonsense', "application/json"),
        page("[1, 2]", "application/json"),
    ],
    ids=["html", "no choices", "broken json", "a list"],
)
async def test_who_answers_with_something_else_than_a_completion_has_failed(malformed):
    async with OpenAIServer(malformed, malformed, GOOD) as server:
        assert (await judged(settings(server.url, retries=1))).severity == 3
    async with OpenAIServer(malformed) as server:
        with pytest.raises(JudgeUnavailable, match="something else than a chat completion"):
            await judged(settings(server.url, unavailable_timeout_s=0.2))
