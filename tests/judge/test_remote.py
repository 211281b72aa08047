"""The remote judge against real HTTP servers that behave, misbehave, or are not there."""

import asyncio
import base64
import json
import logging
import pickle
import threading

import httpx
import openai
import psutil
import pytest
from aiohttp import web
from openai_server import OpenAIServer, completion, held, images, page, slowly, status, trickle, until
from PIL import Image
from ports import free_port

from visual_erm.errors import ConfigError, InfrastructureError, JudgeUnavailable, JudgeUnreadable
from visual_erm.judge import chat, encode, endpoint_pool
from visual_erm.judge.endpoint import proxy_fix
from visual_erm.judge.remote import RemoteJudge
from visual_erm.judge.usage import JudgeUsage
from visual_erm.reward.report import Discrepancy, report_schema
from visual_erm.spec.judge import JudgeSettings
from visual_erm.spec.task import load_task

TABLE = load_task("table")
ERROR = {"type": "numeric_error", "description": "12.5 became 12.6", "severity": 3}
WIRE = json.dumps({"layout_error_count": 0, "text_error_count": 0, "numeric_error_count": 1, "errors": [ERROR]})
GOOD = completion(WIRE)
WHITE, GRAY = Image.new("RGB", (40, 30), "white"), Image.new("RGB", (50, 20), "grey")


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(endpoint_pool, "FIRST_COOLDOWN_S", 0.01)
    monkeypatch.setattr(endpoint_pool, "LONGEST_COOLDOWN_S", 0.1)


def settings(*endpoints: str, **changes) -> JudgeSettings:
    return JudgeSettings(kind="remote", endpoints=endpoints, **{"timeout_s": 60, "unavailable_timeout_s": 2, **changes})


async def judged(config: JudgeSettings, task=TABLE, reference=WHITE, prediction=GRAY):
    judge = RemoteJudge(config)
    try:
        return await judge.judge(reference, prediction, task)
    finally:
        await judge.close()


def dead_url() -> str:
    return f"http://127.0.0.1:{free_port()}/v1"


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


# Failures that may heal


@pytest.mark.parametrize("code", [408, 409, 425, 429, 500, 502, 503])
async def test_failures_that_may_heal_are_tried_again(code):
    async with OpenAIServer(status(code, "busy"), status(code, "busy"), GOOD) as server:
        assert (await judged(settings(server.url, retries=2))).severity == 3
    assert len(server.bodies) == 3


async def test_when_no_endpoint_works_for_too_long_the_judge_is_unavailable_and_says_why():
    async with OpenAIServer(status(500, "CUDA out of memory")) as server:
        with pytest.raises(JudgeUnavailable, match=rf"0\.3 s.*127\.0\.0\.1:{server.port}.*500.*CUDA out of memory"):
            await judged(settings(server.url, unavailable_timeout_s=0.3))
    assert len(server.bodies) > 1


async def test_a_sample_that_fails_where_others_are_judged_has_a_few_tries():
    """Both servers choke on one pair, and judge all others."""

    async def chokes(server, body):
        answer = status(500, "no") if images(body)[1].size == (77, 77) else GOOD
        return await answer(server, body)

    async with OpenAIServer(chokes) as first, OpenAIServer(chokes) as second:
        judge = RemoteJudge(settings(first.url, second.url, retries=2))
        others = asyncio.create_task(repeated(judge))
        with pytest.raises(JudgeUnavailable, match=r"3 tries.*500"):
            await judge.judge(WHITE, Image.new("RGB", (77, 77)), TABLE)
        others.cancel()
        await asyncio.gather(others, return_exceptions=True)
        await judge.close()


async def repeated(judge):
    while True:
        await asyncio.gather(*(judge.judge(WHITE, GRAY, TABLE) for _ in range(4)))


def test_a_server_may_ask_for_a_pause_up_to_a_bound():
    def asked(pause):
        response = httpx.Response(429, headers={"Retry-After": pause}, request=httpx.Request("POST", "http://x"))
        return chat._retry_after(openai.APIStatusError("", response=response, body=None))

    assert [asked(pause) for pause in ("7", "0.25", "100000")] == [7, 0.25, chat.MAX_RETRY_AFTER_S]
    assert all(not asked(pause) > 0 for pause in ("soon", "-3", "nan"))


async def test_retry_after_holds_the_next_try_back():
    loop = asyncio.get_running_loop()
    async with OpenAIServer(status(429, "slow down", {"Retry-After": "0.5"}), GOOD) as server:
        started = loop.time()
        await judged(settings(server.url))
        assert loop.time() - started >= 0.5


async def test_a_server_that_is_too_slow_is_asked_again():
    async with OpenAIServer(slowly(GOOD, 30), GOOD) as server:
        assert (await judged(settings(server.url, timeout_s=1))).severity == 3
    assert len(server.bodies) >= 2


async def test_a_time_out_holds_for_the_whole_answer_not_for_each_byte():
    async with OpenAIServer(trickle(0.05)) as server:
        with pytest.raises(JudgeUnavailable, match=r"did not answer within 0\.5 s"):
            await judged(settings(server.url, timeout_s=0.5, retries=0))


async def test_a_server_that_accepts_and_never_answers():
    mute = await asyncio.start_server(lambda reader, writer: asyncio.sleep(30), "127.0.0.1", 0)
    async with mute:
        port = mute.sockets[0].getsockname()[1]
        with pytest.raises(JudgeUnavailable, match="no judge has answered for 1 s"):
            await judged(settings(f"http://127.0.0.1:{port}/v1", timeout_s=0.3, unavailable_timeout_s=1))


async def test_a_server_that_hangs_up():
    async def hang_up(reader, writer):
        writer.close()

    async with await asyncio.start_server(hang_up, "127.0.0.1", 0) as rude:
        port = rude.sockets[0].getsockname()[1]
        with pytest.raises(JudgeUnavailable, match="cannot be reached"):
            await judged(settings(f"http://127.0.0.1:{port}/v1", unavailable_timeout_s=0.3))


async def test_no_server_at_all():
    url = dead_url()
    with pytest.raises(JudgeUnavailable, match=f"for 0.3 s.*{url} cannot be reached"):
        await judged(settings(url, unavailable_timeout_s=0.3))


@pytest.mark.parametrize("variable", ["HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"])
@pytest.mark.parametrize("answer", [b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n", b""])
async def test_a_proxy_that_stands_between_is_named_without_its_password(monkeypatch, variable, answer):
    without_proxies(monkeypatch)

    async def refuse(reader, writer):
        await reader.read(1000)
        writer.write(answer)
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(refuse, "127.0.0.1", 0) as proxy, OpenAIServer(GOOD) as server:
        address = f"127.0.0.1:{proxy.sockets[0].getsockname()[1]}"
        monkeypatch.setenv(variable, f"http://me:secret@{address}")
        with pytest.raises(JudgeUnavailable) as caught:
            await judged(settings(server.url, unavailable_timeout_s=0.3, retries=0))
        assert f"; it is asked through the proxy {address} of {variable}: add 127.0.0.1 to NO_PROXY" in str(caught.value)
        assert "secret" not in str(caught.value)
        monkeypatch.setenv("NO_PROXY", "localhost,127.0.0.1")
        await judged(settings(server.url))


def without_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY"):
        monkeypatch.delenv(variable, raising=False)
        monkeypatch.delenv(variable.lower(), raising=False)


@pytest.mark.parametrize(
    ("url", "no_proxy", "named"),
    [
        ("http://judge.example:8000/v1", "", "http://p:3128 of HTTP_PROXY"),
        ("http://judge.example:8000/v1", "other.example", "http://p:3128 of HTTP_PROXY"),
        ("http://10.0.0.1:8000/v1", "10.0.0.0/8", "http://p:3128 of HTTP_PROXY"),
        ("https://judge.example/v1", "", "http://s:3128 of HTTPS_PROXY"),
        ("http://judge.example:8000/v1", "judge.example", ""),
        ("http://judge.example:8000/v1", ".example,127.0.0.1", ""),
        ("http://10.0.0.1:8000/v1", "*", ""),
    ],
)
def test_the_proxy_is_that_of_the_scheme_and_a_host_in_no_proxy_has_none(monkeypatch, url, no_proxy, named):
    without_proxies(monkeypatch)
    monkeypatch.setenv("HTTP_PROXY", "http://p:3128")
    monkeypatch.setenv("HTTPS_PROXY", "http://s:3128")
    monkeypatch.setenv("NO_PROXY", no_proxy)
    assert named in proxy_fix(url) and bool(proxy_fix(url)) == bool(named)


async def test_a_server_that_comes_back_is_used_again():
    port = free_port()
    judge = RemoteJudge(settings(f"http://127.0.0.1:{port}/v1", unavailable_timeout_s=0.3))
    with pytest.raises(JudgeUnavailable):
        await judge.judge(WHITE, GRAY, TABLE)
    async with OpenAIServer(GOOD, port=port):
        assert (await judge.judge(WHITE, GRAY, TABLE)).severity == 3
    await judge.close()


# Failures that do not heal


@pytest.mark.parametrize(
    ("code", "message", "fix"),
    [
        (400, "grammar not supported", "structured: false"),
        (401, "who are you", "VISUAL_ERM_API_KEY"),
        (403, "not for you", "VISUAL_ERM_API_KEY"),
        (404, "the model `visual-erm` does not exist", "/v1/models"),
        (422, "unprocessable", "unprocessable"),
    ],
)
async def test_what_cannot_heal_is_raised_at_once_with_the_servers_words_and_the_fix(code, message, fix):
    async with OpenAIServer(status(code, message)) as server:
        with pytest.raises(JudgeUnavailable) as caught:
            await judged(settings(server.url))
    assert len(server.bodies) == 1
    assert all(part in str(caught.value) for part in (server.url, str(code), message, fix))


def test_an_endpoint_that_is_no_url_is_a_setting_to_correct():
    with pytest.raises(ConfigError, match=r"10\.0\.0\.1:8000"):
        RemoteJudge(settings("10.0.0.1:8000/v1"))


# Several endpoints


@pytest.mark.parametrize("broken", [status(500, "broken"), slowly(GOOD, 30)], ids=["500", "too slow"])
async def test_one_of_two_endpoints_fails_and_the_other_judges_all(broken, monkeypatch):
    monkeypatch.setattr(endpoint_pool, "FIRST_COOLDOWN_S", 600)
    monkeypatch.setattr(endpoint_pool, "LONGEST_COOLDOWN_S", 600)
    async with OpenAIServer(broken) as bad, OpenAIServer(GOOD) as good:
        judge = RemoteJudge(settings(bad.url, good.url, timeout_s=3, retries=1))
        reports = await asyncio.gather(*(judge.judge(WHITE, GRAY, TABLE) for _ in range(16)))
        asked = len(bad.bodies)
        reports += await asyncio.gather(*(judge.judge(WHITE, GRAY, TABLE) for _ in range(16)))
        await judge.close()
    assert [report.severity for report in reports] == [3] * 32
    assert asked > 0
    assert len(bad.bodies) == asked, "an endpoint that failed rests while another has room"


async def test_one_of_two_endpoints_is_dead_and_the_other_judges_all():
    async with OpenAIServer(GOOD) as good:
        judge = RemoteJudge(settings(dead_url(), good.url, retries=1))
        reports = await asyncio.gather(*(judge.judge(WHITE, GRAY, TABLE) for _ in range(64)))
        await judge.close()
    assert [report.severity for report in reports] == [3] * 64


async def test_another_endpoint_is_asked_at_once_where_one_wants_to_be_left_alone():
    async with OpenAIServer(status(429, "later", {"Retry-After": "60"})) as full, OpenAIServer(GOOD) as free:
        judge = RemoteJudge(settings(full.url, free.url, retries=1))
        for _ in range(8):
            assert (await asyncio.wait_for(judge.judge(WHITE, GRAY, TABLE), 20)).severity == 3
        await judge.close()
    assert len(full.bodies) <= 1


async def test_the_least_busy_endpoint_is_asked_first():
    async with OpenAIServer(held(GOOD)) as first, OpenAIServer(held(GOOD)) as second:
        judge = RemoteJudge(settings(first.url, second.url, timeout_s=60))
        waiting = [asyncio.create_task(judge.judge(WHITE, GRAY, TABLE)) for _ in range(10)]
        await until(lambda: first.in_flight + second.in_flight == 10)
        assert (first.in_flight, second.in_flight) == (5, 5)
        first.released.set()
        await until(lambda: first.in_flight == 0)
        waiting += [asyncio.create_task(judge.judge(WHITE, GRAY, TABLE)) for _ in range(4)]
        await until(lambda: len(first.bodies) == 9)
        assert second.in_flight == 5
        second.released.set()
        await asyncio.gather(*waiting)
        await judge.close()


async def test_no_endpoint_gets_more_requests_at_once_than_it_may():
    async with OpenAIServer(slowly(GOOD, 0.02)) as first, OpenAIServer(slowly(GOOD, 0.02)) as second:
        judge = RemoteJudge(settings(first.url, second.url, max_in_flight=3, timeout_s=60))
        reports = await asyncio.gather(*(judge.judge(WHITE, GRAY, TABLE) for _ in range(60)))
        await judge.close()
    assert len(reports) == 60
    assert (first.most_in_flight, second.most_in_flight) == (3, 3)


async def test_cancelled_judgements_give_their_slot_back():
    async with OpenAIServer(held(GOOD)) as server:
        judge = RemoteJudge(settings(server.url, max_in_flight=2, timeout_s=60))
        lost = [asyncio.create_task(judge.judge(WHITE, GRAY, TABLE)) for _ in range(6)]
        await until(lambda: server.in_flight == 2)
        for task in lost:
            task.cancel()
        await asyncio.gather(*lost, return_exceptions=True)
        server.released.set()
        reports = await asyncio.gather(*(judge.judge(WHITE, GRAY, TABLE) for _ in range(6)))
        await judge.close()
    assert [report.severity for report in reports] == [3] * 6


# What must not happen

SECRET = "sk-very-secret-0123456789"


async def test_the_key_is_sent_and_appears_nowhere_else(monkeypatch, caplog):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("VISUAL_ERM_API_KEY", SECRET)
    answers = [status(401, f"incorrect key {SECRET}"), status(500, f"log: {SECRET}"), completion(f"your key is {SECRET}")]
    errors = []
    for answer in answers:
        async with OpenAIServer(answer) as server:
            judge = RemoteJudge(settings(server.url, unavailable_timeout_s=0.3))
            errors.append(await failure(judge.judge(WHITE, GRAY, TABLE)))
            await judge.close()
        assert server.headers[0]["Authorization"] == f"Bearer {SECRET}"
    errors.append(await failure(judged(settings(dead_url(), unavailable_timeout_s=0.3))))
    assert [type(error) for error in errors] == [JudgeUnavailable, JudgeUnavailable, JudgeUnreadable, JudgeUnavailable]
    told = [repr(pickle.loads(pickle.dumps(error))) for error in errors]
    told += [repr(judge), str(judge), repr(judge._settings), caplog.text]
    assert "127.0.0.1" in caplog.text
    assert not any(SECRET in text for text in told)


@pytest.mark.parametrize(
    ("login", "user", "password"),
    [
        ("me:very-secret", "me", "very-secret"),
        ("me%40lab:ver%2Fy%3A-secret", "me@lab", "ver/y:-secret"),
        (":very-secret", "", "very-secret"),
        ("token-very-secret", "token-very-secret", ""),
    ],
)
@pytest.mark.parametrize("key", ["", SECRET])
@pytest.mark.parametrize("by_file", [False, True])
async def test_a_password_in_the_url_is_sent_and_appears_nowhere_else(
    login, user, password, key, by_file, monkeypatch, caplog, tmp_path
):
    caplog.set_level(logging.DEBUG)
    monkeypatch.setenv("VISUAL_ERM_API_KEY", key)
    sent = base64.b64encode(f"{user}:{password}".encode()).decode()
    repeats = f"{login} {user}:{password} {sent}"
    answers = [status(401, repeats), status(500, repeats), page(repeats), completion(repeats), GOOD]
    asked_for_models = []

    async def models(request: web.Request) -> web.Response:
        asked_for_models.append(request.headers.get("Authorization"))
        return web.json_response({"data": [{"id": "visual-erm"}]})

    told = []
    for answer in answers:
        async with OpenAIServer(answer, routes={"/v1/models": models, "/health": models}) as server:
            url = server.url.replace("//", f"//{login}@")
            (tmp_path / "endpoints.txt").write_text(url)
            given = (
                {"endpoints": (), "endpoints_file": str(tmp_path / "endpoints.txt")} if by_file else {"endpoints": (url,)}
            )
            config = JudgeSettings(kind="remote", timeout_s=60, unavailable_timeout_s=0.3, **given)
            judge, usage = RemoteJudge(config), JudgeUsage()
            if answer is GOOD:
                await judge.judge(WHITE, GRAY, TABLE, usage)
                assert usage.endpoint == server.url
            else:
                told.append(repr(pickle.loads(pickle.dumps(await failure(judge.judge(WHITE, GRAY, TABLE, usage))))))
            told += [repr(judge._chat._pool.endpoints), repr(usage), repr(config)]
            await judge.close()
        assert {headers["Authorization"] for headers in server.headers} == {f"Basic {sent}"}
    assert set(asked_for_models) == {f"Basic {sent}"}
    dead = settings(dead_url().replace("//", f"//{login}@"), unavailable_timeout_s=0.3)
    told += [repr(await failure(judged(dead))), caplog.text]
    assert "127.0.0.1" in caplog.text
    hidden = [word for word in (SECRET, login, password, sent) if word]
    assert not [(word, text) for word in hidden for text in told if word in text]


@pytest.mark.parametrize(
    "url",
    [
        "htp://me:very-secret@10.0.0.1/v1",
        "me:very-secret@10.0.0.1:8000/v1",
        "http://me:very-sec#ret@10.0.0.1/v1",
        "http://me:very-secret@/v1",
        "http://me:very-secret",
        "http://me:very-secret@10.0.0.1:port/v1",
    ],
)
async def test_a_password_in_what_is_no_url_is_not_shown(url, tmp_path):
    (tmp_path / "endpoints.txt").write_text(url)
    for refused in (
        lambda: RemoteJudge(settings(url)),
        lambda: endpoint_pool.read_endpoints(tmp_path / "endpoints.txt"),
    ):
        with pytest.raises(ConfigError, match="is no URL") as caught:
            refused()
        assert "very" not in str(caught.value)


async def test_without_a_key_none_is_sent_not_even_that_of_another_service(monkeypatch):
    monkeypatch.delenv("VISUAL_ERM_API_KEY", raising=False)
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    async with OpenAIServer(GOOD) as server:
        await judged(settings(server.url))
    assert "Authorization" not in server.headers[0]


async def test_the_event_loop_goes_on_while_images_are_encoded(monkeypatch):
    """An encoding that waits for the event loop would wait for ever if it held the loop up."""
    loop = asyncio.get_running_loop()
    data_url = encode.data_url

    def after_the_loop(image, form):
        asyncio.run_coroutine_threadsafe(asyncio.sleep(0), loop).result(timeout=20)
        return data_url(image, form)

    monkeypatch.setattr(encode, "data_url", after_the_loop)
    async with OpenAIServer(GOOD) as server:
        assert (await judged(settings(server.url))).severity == 3


async def test_closing_leaves_no_socket_and_no_thread():
    before = len(own_sockets())
    async with OpenAIServer(GOOD) as server:
        judge = RemoteJudge(settings(server.url))
        await asyncio.gather(*(judge.judge(WHITE, GRAY, TABLE) for _ in range(8)))
        assert any(connection.raddr and connection.raddr.port == server.port for connection in own_sockets())
        await judge.close()
        await judge.close()
        assert not any(connection.raddr and connection.raddr.port == server.port for connection in own_sockets())
    assert len(own_sockets()) == before
    await until(lambda: not [t for t in threading.enumerate() if t.name.startswith("judge-encode")])


def own_sockets():
    return psutil.Process().net_connections(kind="inet")


async def failure(coroutine) -> InfrastructureError:
    with pytest.raises(InfrastructureError) as caught:
        await coroutine
    return caught.value
