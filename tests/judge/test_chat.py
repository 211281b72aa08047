"""Chat against real HTTP servers that misbehave, or are not there: what is tried again, and what is told."""

import asyncio
import base64
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
from remote_judge import GOOD, GRAY, TABLE, WHITE, dead_url, judged, settings

from visual_erm.errors import ConfigError, InfrastructureError, JudgeUnavailable, JudgeUnreadable
from visual_erm.judge import chat, encode, endpoint_pool
from visual_erm.judge.endpoint import proxy_fix
from visual_erm.judge.remote import RemoteJudge
from visual_erm.judge.usage import JudgeUsage
from visual_erm.spec.judge import JudgeSettings


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch):
    monkeypatch.setattr(endpoint_pool, "FIRST_COOLDOWN_S", 0.01)
    monkeypatch.setattr(endpoint_pool, "LONGEST_COOLDOWN_S", 0.1)


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
